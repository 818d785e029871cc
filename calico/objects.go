package calico

import (
	"fmt"
	"net/netip"
	"strings"

	"routed/config"
)

// The default block sizes of Calico's IPAM, in bits.
const (
	blockSize4 = 26
	blockSize6 = 122
)

// object is one Calico object. The order of the fields, here and below, is that of the output.
type object struct {
	comment    []string // lines without their #
	APIVersion string   `yaml:"apiVersion"`
	Kind       string   `yaml:"kind"`
	Metadata   metadata `yaml:"metadata"`
	Spec       any      `yaml:"spec"`
}

type metadata struct {
	Name string `yaml:"name"`
}

// bgpPeer is the spec of a BGPPeer. With neither node nor nodeSelector it is for every node.
type bgpPeer struct {
	PeerIP        string    `yaml:"peerIP"`
	ASNumber      uint32    `yaml:"asNumber"`
	SourceAddress string    `yaml:"sourceAddress,omitempty"`
	Password      *password `yaml:"password,omitempty"`
}

type password struct {
	SecretKeyRef secretKey `yaml:"secretKeyRef"`
}

type secretKey struct {
	Name string `yaml:"name"`
	Key  string `yaml:"key"`
}

// ipPool is the spec of an IPPool. All that has a default in Calico is written out: a pool that kubectl creates gets none of
// them where calicoctl would fill them in.
type ipPool struct {
	CIDR             string `yaml:"cidr"`
	BlockSize        int    `yaml:"blockSize,omitempty"`
	IPIPMode         string `yaml:"ipipMode"`
	VXLANMode        string `yaml:"vxlanMode,omitempty"`
	NATOutgoing      bool   `yaml:"natOutgoing"`
	Disabled         bool   `yaml:"disabled"`
	DisableBGPExport bool   `yaml:"disableBGPExport,omitempty"`
	NodeSelector     string `yaml:"nodeSelector,omitempty"`
}

// pools are the remote pod ranges.
func pools(cfg *config.Config, v Version) []object {
	var out []object
	for _, r := range cfg.Remotes {
		for _, cidr := range r.PodCIDRs {
			spec := ipPool{CIDR: cidr.String(), IPIPMode: "Never", Disabled: true, DisableBGPExport: v.since(sinceDisableBGPExport)}
			if v.since(sinceBlockSize) {
				spec.BlockSize = blockSizeOf(cidr)
			}
			if v.since(sinceVXLAN) {
				spec.VXLANMode = "Never"
			}
			if v.since(sincePoolNodeSelector) {
				spec.NodeSelector = "all()"
			}
			out = append(out, object{
				comment: []string{"Pods of " + r.Name + ". Calico knows the range, so that it does not masquerade traffic to it, and assigns no address from it."},
				Kind:    "IPPool", Metadata: metadata{Name: poolName(cidr)}, Spec: spec,
			})
		}
	}
	return out
}

func blockSizeOf(cidr netip.Prefix) int {
	if cidr.Addr().Is6() {
		return blockSize6
	}
	return blockSize4
}

// poolName is a name of Kubernetes (DNS-1123) that hangs on the range alone: a remote cluster that is renamed in the
// configuration keeps its pools, which Calico would not have twice.
func poolName(cidr netip.Prefix) string {
	return "routed-" + strings.NewReplacer(".", "-", ":", "-", "/", "-").Replace(cidr.String())
}

// Where the password of the session with BIRD is for Calico: a Secret in the namespace of calico-node.
const (
	secretName = "routed-bird" //nolint:gosec // the name of a Secret, not one
	secretData = "password"
)

// peers are the sessions of each node's BIRD with the routed beside it.
func peers(cfg *config.Config, v Version) ([]object, error) {
	if err := checkPeers(cfg, v); err != nil {
		return nil, err
	}
	var out []object
	for _, d := range cfg.BIRD.Dial {
		out = append(out, peer(cfg, v, loopback(d.Addr()).String(), d.Addr().Is6(),
			"The routed of each node, which dials its BIRD. BIRD also tries to dial 127.0.0.1 and finds itself: harmless, and over with the session."))
	}
	for _, a := range cfg.BIRD.Accept {
		out = append(out, peer(cfg, v, netip.AddrPortFrom(a, cfg.Listen.Port).String(), a.Is6(), "The routed of each node, which its BIRD dials."))
	}
	return out, nil
}

func loopback(a netip.Addr) netip.Addr {
	if a.Is6() {
		return netip.IPv6Loopback()
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

func peer(cfg *config.Config, v Version, ip string, ipv6 bool, comment string) object {
	spec := bgpPeer{PeerIP: ip, ASNumber: cfg.Cluster.ASN}
	o := object{comment: []string{comment}, Kind: "BGPPeer", Metadata: metadata{Name: "routed"}}
	if ipv6 {
		o.Metadata.Name = "routed-ipv6"
		o.comment[0] = strings.ReplaceAll(comment, "127.0.0.1", "::1")
	}
	if v.since(sinceSourceAddress) {
		spec.SourceAddress = "UseNodeIP" // None would make the next hop of the blocks the loopback address
	}
	if cfg.BIRD.Password.IsSet() {
		spec.Password = &password{SecretKeyRef: secretKey{Name: secretName, Key: secretData}}
		o.comment = append(o.comment, fmt.Sprintf("Its password is key %s of Secret %s in the namespace of calico-node, which must be allowed to get, list and "+
			"watch it there.", secretData, secretName))
	}
	o.Spec = spec
	return o
}
