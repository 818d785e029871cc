package lab

import (
	"fmt"
	"net/netip"
	"strings"
	"text/template"
)

// Peering is how a node's BIRD and its routed come together.
type Peering uint8

const (
	// NoPeering is a BIRD that knows of no routed.
	NoPeering Peering = iota
	// Dial has routed dial BIRD on 127.0.0.1:179, as with Calico before 3.16, whose BGP peers have no port.
	Dial
	// Accept has BIRD dial routed on 127.0.0.1:1790 from the node's address, as with Calico 3.16 and later.
	Accept
)

// String is the name flags and tests use.
func (p Peering) String() string {
	switch p {
	case Dial:
		return "dial"
	case Accept:
		return "accept"
	default:
		return "none"
	}
}

// MarshalText is String, for flags.
func (p Peering) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText takes dial or accept.
func (p *Peering) UnmarshalText(text []byte) error {
	for _, known := range []Peering{NoPeering, Dial, Accept} {
		if known.String() == string(text) {
			*p = known
			return nil
		}
	}
	return fmt.Errorf("lab: mode %q: want dial or accept", text)
}

// RoutedPort is where routed listens.
const RoutedPort = 1790

// bgpPort is where BIRD listens (RFC 4271).
const bgpPort = 179

// RoutedProtocol is the name of BIRD's protocol toward routed.
const RoutedProtocol = "Global_127_0_0_1"

// BIRD says how a node's BIRD is run.
type BIRD struct {
	Tool    Tool    // BIRD16 or BIRD2
	Peering Peering // how it will meet routed; BIRD 1.6 with Dial has BIRD's own timers, as then, else Calico's
}

// birdConfig is what a node's bird.cfg is made of.
type birdConfig struct {
	Two       bool // BIRD 2's syntax
	Log       string
	Addr      netip.Addr
	ASN       uint32
	Pool      netip.Prefix
	Blocks    []netip.Prefix
	Mesh      []netip.Addr // the other nodes of the cluster
	Peering   Peering      // the session with routed
	NewTimers bool         // the BGP timers Calico sets since 3.4, instead of BIRD's own
}

func (c birdConfig) String() string {
	var s strings.Builder
	if err := birdTemplate().Execute(&s, c); err != nil {
		return "# " + err.Error() // a test executes it with every field in use
	}
	return s.String()
}

func birdTemplate() *template.Template {
	return template.Must(template.New("bird.cfg").Funcs(template.FuncMap{
		"id": func(a netip.Addr) string { return strings.NewReplacer(".", "_", ":", "_").Replace(a.String()) },
	}).Parse(birdText))
}

// birdText is Calico's bird.cfg, bird_aggr.cfg and bird_ipam.cfg in one: what its confd writes for a node with the
// node-to-node mesh. Stock BIRD has no `krt_tunnel`, which is Calico's own, so blocks go over eth0 and not tunl0.
const birdText = `log "{{.Log}}" all;
router id {{.Addr}};

# This node's blocks: a sink for what no pod of theirs takes, and what is announced.
protocol static {
{{- if .Two}}
  ipv4;
{{- end}}
{{- range .Blocks}}
  route {{.}} blackhole;
{{- end}}
}

# The block is announced and nothing inside it; an address borrowed from another node's block is.
function calico_aggr()
{
{{- range .Blocks}}
  if (net = {{.}}) then { accept; }
  if (net ~ {{.}}) then { reject; }
{{- end}}
}

filter calico_export_to_bgp_peers {
  calico_aggr();
  if (net ~ {{.Pool}}) then { accept; }
  reject;
}

filter calico_kernel_programming {
  if (source = RTS_DEVICE) then { reject; }
  accept;
}

protocol kernel {
  learn;
  persist;
  scan time 2;
  graceful restart;
{{- if .Two}}
  ipv4 {
    import all;
    export filter calico_kernel_programming;
  };
{{- else}}
  import all;
  export filter calico_kernel_programming;
{{- end}}
}

protocol device {
  scan time 2;
}

protocol direct {
{{- if .Two}}
  ipv4;
{{- end}}
  interface -"cali*", -"kube-ipvs*", "*";
}

template bgp bgp_template {
  local as {{.ASN}};
  multihop;
  source address {{.Addr}};
  graceful restart;
{{- if .Two}}
  ipv4 {
    import all;
    export filter calico_export_to_bgp_peers;
    gateway recursive;
    add paths on;
  };
{{- else}}
  import all;
  export filter calico_export_to_bgp_peers;
  gateway recursive;
  add paths on;
{{- end}}
{{- if .NewTimers}}
  connect delay time 2;
  connect retry time 5;
  error wait time 5,30;
{{- end}}
}
{{$asn := .ASN}}
{{- range .Mesh}}
protocol bgp Mesh_{{id .}} from bgp_template {
  neighbor {{.}} as {{$asn}};
}
{{end}}
{{- if eq .Peering.String "dial"}}
protocol bgp Global_127_0_0_1 from bgp_template {
  neighbor 127.0.0.1 as {{.ASN}};
}
{{- else if eq .Peering.String "accept"}}
protocol bgp Global_127_0_0_1 from bgp_template {
  neighbor 127.0.0.1 port 1790 as {{.ASN}};
}
{{- end}}
`
