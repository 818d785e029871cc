package calico

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	v3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"routed/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	dials   = "{dial: 127.0.0.1:179}"
	accepts = "{accept: 127.0.0.1}"
	remotes = `
  - {name: cluster-2, podCIDRs: [20.1.0.0/16], nodes: {addresses: [9.111.255.152]}}
`
)

// parse gives the configuration of a node of cluster-1.
func parse(t *testing.T, bird, remotes, more string) *config.Config {
	t.Helper()
	text := fmt.Sprintf("cluster: {name: cluster-1, podCIDRs: [10.1.0.0/16]}\nnode: {address: 9.111.255.21, address6: 'fd00::21'}\nbird: %s\nremotes: %s\n%s", bird, remotes, more)
	cfg, err := config.Parse([]byte(text), "routed.yaml", config.Env{})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func version(t *testing.T, s string) Version {
	t.Helper()
	v, err := ParseVersion(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// One golden file for each version whose objects are others than those of the version before, and for what else can differ.
func TestManifest(t *testing.T) {
	several := `
  - {name: Cluster_2, podCIDRs: [20.1.0.0/16, "fd00:20::/48"], asn: 64999, nodes: {addresses: [9.111.255.152]}}
  - {name: cluster-3, podCIDRs: [30.1.128.0/27], nodes: {addresses: [9.112.0.1]}}
`
	for name, tc := range map[string]struct {
		version, bird, remotes, more string
		client                       Client
	}{
		"3.1-dial":           {version: "v3.1.3", bird: dials, remotes: remotes},
		"3.3-dial":           {version: "3.3", bird: dials, remotes: remotes},
		"3.5-dial":           {version: "3.5.8", bird: dials, remotes: remotes},
		"3.7-dial":           {version: "3.7", bird: dials, remotes: remotes},
		"3.16-dial":          {version: "3.16", bird: dials, remotes: remotes},
		"3.16-accept":        {version: "3.16", bird: accepts, remotes: remotes},
		"3.18-accept":        {version: "3.18", bird: accepts, remotes: remotes},
		"3.21-accept":        {version: "3.21", bird: accepts, remotes: remotes},
		"3.28-kubectl":       {version: "3.28", bird: accepts, remotes: remotes, client: Kubectl},
		"3.99-newer":         {version: "3.99", bird: accepts, remotes: remotes},
		"several-and-ipv6":   {version: "3.28", bird: `{accept: [127.0.0.1, "::1"]}`, remotes: several, more: "listen: {port: 1179}"},
		"ipv6-dial-password": {version: "3.28", bird: `{dial: "[::1]:179", password: secret-of-nobody}`, remotes: remotes},
		"no-remotes":         {version: "3.28", bird: "{dial: 9.111.255.21:1179}", remotes: "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.client == "" {
				tc.client = Calicoctl
			}
			got, err := Manifest(parse(t, tc.bird, tc.remotes, tc.more), version(t, tc.version), tc.client)
			if err != nil {
				t.Fatal(err)
			}
			wantGolden(t, name+".yaml", got)
			if strings.Contains(string(got), "secret-of-nobody") {
				t.Error("the password is in it")
			}
			for _, o := range decode(t, got) {
				if want := tc.client.apiVersion(); o.APIVersion != want {
					t.Errorf("%s %s is of %s, want %s", o.Kind, o.Name, o.APIVersion, want)
				}
			}
		})
	}
}

func wantGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("not as in %s (go test -update writes it):\n%s", path, got)
	}
}

// decoded is what Calico makes of an object, and its text.
type decoded struct {
	APIVersion, Kind, Name string
	pool                   *v3.IPPool
	peer                   *v3.BGPPeer
	text                   string
}

// decode has Calico's own types take the documents, strictly, as calicoctl does, and cut the way calicoctl does.
func decode(t rapid.TB, manifest []byte) []decoded {
	t.Helper()
	var out []decoded
	for doc := range strings.SplitSeq(string(manifest), "\n---") {
		o := decoded{text: doc}
		var err error
		switch kind := regexp.MustCompile(`(?m)^kind: (\w+)$`).FindStringSubmatch(doc); {
		case kind == nil:
			t.Fatalf("no object in\n%s", doc)
		case kind[1] == v3.KindIPPool:
			o.pool = &v3.IPPool{}
			err = yaml.UnmarshalStrict([]byte(doc), o.pool)
			o.APIVersion, o.Kind, o.Name = o.pool.APIVersion, o.pool.Kind, o.pool.Name
		case kind[1] == v3.KindBGPPeer:
			o.peer = &v3.BGPPeer{}
			err = yaml.UnmarshalStrict([]byte(doc), o.peer)
			o.APIVersion, o.Kind, o.Name = o.peer.APIVersion, o.peer.Kind, o.peer.Name
		default:
			t.Fatalf("an object nobody asked for:\n%s", doc)
		}
		if err != nil {
			t.Fatalf("Calico refuses it: %v\n%s", err, doc)
		}
		out = append(out, o)
	}
	return out
}

// What must hold of every configuration and version: the names are ones and each is there once, no pool gives an address or
// masquerades, nothing is of a version that is newer, and what was printed for a version is there in the next.
func TestManifestProperties(t *testing.T) {
	name := regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`) // RFC 1123, one label
	rapid.Check(t, func(t *rapid.T) {
		cfg := &config.Config{
			Cluster: config.Cluster{Name: "cluster-1", ASN: rapid.Uint32Range(1, 4294967294).Draw(t, "asn")},
			Node:    config.Node{Address: netip.MustParseAddr("9.111.255.21")},
			BIRD:    config.BIRD{Dial: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:179"), netip.MustParseAddrPort("[::1]:179")}},
			Kernel:  config.Kernel{Table: 1790},
		}
		cidrs := rapid.SliceOfDistinct(rapid.Custom(drawPrefix), rapid.ID).Draw(t, "cidrs")
		for i, p := range cidrs {
			cfg.Remotes = append(cfg.Remotes, config.Remote{Name: fmt.Sprintf("Remote_%d.x", i), PodCIDRs: []netip.Prefix{p}})
		}
		v := Version{Major: 3, Minor: rapid.IntRange(oldest, newest+5).Draw(t, "minor")}
		out, err := Manifest(cfg, v, rapid.SampledFrom(Clients()).Draw(t, "client"))
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		found := map[string]bool{}
		for _, o := range decode(t, out) {
			if !name.MatchString(o.Name) || seen[o.Kind+o.Name] {
				t.Errorf("%s %s: not a name, or there twice", o.Kind, o.Name)
			}
			seen[o.Kind+o.Name] = true
			for field, since := range fieldsSince() {
				if has := strings.Contains(o.text, "\n  "+field+": "); has && !v.since(since) {
					t.Errorf("Calico %s has no %s:\n%s", v, field, o.text)
				}
			}
			switch {
			case o.peer != nil && uint32(o.peer.Spec.ASNumber) != cfg.Cluster.ASN:
				t.Errorf("AS %d, want %d", o.peer.Spec.ASNumber, cfg.Cluster.ASN)
			case o.pool != nil:
				found[o.pool.Spec.CIDR] = true
				wantHarmless(t, o.pool.Spec, v)
			}
		}
		for _, p := range cidrs {
			if !found[p.String()] {
				t.Errorf("no pool for %s", p)
			}
		}
	})
}

// fieldsSince is what the versions brought, by the names of Calico's own types.
func fieldsSince() map[string]int {
	return map[string]int{"blockSize": 3, "nodeSelector": 5, "vxlanMode": 7, "sourceAddress": 18, "disableBGPExport": 21}
}

func wantHarmless(t *rapid.T, got v3.IPPoolSpec, v Version) {
	want := v3.IPPoolSpec{CIDR: got.CIDR, IPIPMode: v3.IPIPModeNever, Disabled: true, DisableBGPExport: v.Minor >= 21}
	if v.Minor >= 3 {
		want.BlockSize = 26
		if strings.Contains(got.CIDR, ":") {
			want.BlockSize = 122
		}
	}
	if v.Minor >= 5 {
		want.NodeSelector = "all()"
	}
	if v.Minor >= 7 {
		want.VXLANMode = v3.VXLANModeNever
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("pool of Calico %s\n%+v, want\n%+v", v, got, want)
	}
}

func drawPrefix(t *rapid.T) netip.Prefix {
	if rapid.Bool().Draw(t, "ipv6") {
		a := [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "address"))
		a[0] = 0xfd
		return netip.PrefixFrom(netip.AddrFrom16(a), rapid.IntRange(16, 128).Draw(t, "bits")).Masked()
	}
	a := [4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "address"))
	return netip.PrefixFrom(netip.AddrFrom4(a), rapid.IntRange(8, 32).Draw(t, "bits")).Masked()
}

func TestManifestRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		version, bird, more string
		key, says           string
	}{
		"a port before there were any": {"3.15", accepts, "", "bird.accept", "bird.dial: 127.0.0.1:179"},
		"the same for IPv6":            {"3.5", `{accept: "::1"}`, "", "bird.accept", "bird.dial: [::1]:179"},
		"accept at a node's address":   {"3.28", "{accept: 9.111.255.21}", "", "bird.accept", "have 127.0.0.1 there, not 9.111.255.21"},
		"another host's BIRD":          {"3.5", "{dial: 9.111.255.29:179}", "", "bird.dial", "have 127.0.0.1:179 there"},
		"a password before 3.16":       {"3.15", "{dial: 127.0.0.1:179, password: x}", "", "bird.password", "leave it out"},
		"main that BIRD exports":       {"3.20", dials, "kernel: {table: main}", "kernel.table", "leave the key out"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Manifest(parse(t, tc.bird, remotes, tc.more), version(t, tc.version), Calicoctl)
			var wrong *Error
			if !errors.As(err, &wrong) || wrong.Key != tc.key || !strings.Contains(wrong.Problem, tc.says) {
				t.Errorf("got %v, want %s: …%s", err, tc.key, tc.says)
			}
		})
	}
	if _, err := Manifest(parse(t, accepts, remotes, "kernel: {table: main}"), version(t, "3.21"), Calicoctl); err != nil {
		t.Errorf("main with disableBGPExport: %v", err)
	}
	if _, err := Manifest(parse(t, dials, remotes, ""), version(t, "3.5"), "helm"); err == nil || !strings.Contains(err.Error(), "calicoctl") {
		t.Errorf("an unknown client: %v", err)
	}
}

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]Version{
		"3.1": {3, 1}, "v3.28.1": {3, 28}, "3.5.8": {3, 5}, "v3.33.0-0.dev-123-gabcdef": {3, 33}, "3.99": {3, 99}, "v4.0.0": {4, 0}, "3.1.0+icp": {3, 1},
	} {
		if got, err := ParseVersion(text); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for text, says := range map[string]string{
		"": "no version", "latest": "calicoctl version", "2.6": "too old", "v2.6.12": "too old", "3.0.9": "too old", "3": "not a version", "3.": "not a version",
		"3.28.": "not a version", "3.28.1.2": "not a version", " 3.28": "not a version", "3,28": "not a version", "-3.28": "not a version", "3.9999": "not a version",
		"vv3.28": "not a version", "3.28\n": "not a version",
	} {
		if got, err := ParseVersion(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, %v; want an error with %q", text, got, err, says)
		}
	}
}

func FuzzParseVersion(f *testing.F) {
	for _, s := range []string{"3.28", "v3.1.3-dev", "2.6", "4.0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseVersion(s)
		if err != nil {
			return
		}
		if again, err := ParseVersion(v.String()); err != nil || again != v || !v.since(oldest) {
			t.Errorf("%q: %v; read again %v, %v", s, v, again, err)
		}
	})
}
