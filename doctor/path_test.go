package doctor

import (
	"net/netip"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"routed/config"
	"routed/kernel"
)

// Of what is wrong on a host only what touches the way to one address is told.
func TestPath(t *testing.T) {
	cfg := &config.Config{Remotes: []config.Remote{{PodCIDRs: prefixes("20.1.0.0/16", "30.1.0.0/16", "2001:db8:20::/48")}}}
	proc := fstest.MapFS{
		"sys/net/ipv4/ip_forward":             {Data: []byte("1\n")},
		"sys/net/ipv4/conf/eth0.7/forwarding": {Data: []byte("0\n")},
	}
	byHand := kernel.Stray{
		Prefix: prefixes("20.1.47.128/26")[0], Text: "20.1.47.128/26 via 9.111.255.77 dev eth0.7 proto boot",
		Command: "ip route del 20.1.47.128/26 proto boot",
	}
	for _, c := range []struct {
		name, address string
		survey        kernel.PathSurvey
		err           error
		want          []string
	}{
		{"everything", "20.1.47.150", kernel.PathSurvey{
			Link:   kernel.Link{Index: 2, Name: "eth0.7"},
			Rules:  kernel.RuleSurvey{Ahead: []kernel.Rule{{Priority: 7, Table: config.TableMain, To: prefixes("20.1.47.0/24")[0]}}},
			Strays: []kernel.Stray{byHand},
		}, nil, []string{
			"ip-forwarding failed: net/ipv4/conf/eth0.7/forwarding is 0: packets of pods are dropped",
			"rules warning: a rule of somebody else decides before those of routed: 7: to 20.1.47.0/24 lookup main",
			"hand-made-routes warning: main has 20.1.47.128/26 via 9.111.255.77 dev eth0.7 proto boot; the mesh does not hold the block yet",
		}},
		{"nothing", "20.1.50.1", kernel.PathSurvey{}, nil, nil},
		{
			"no rule", "30.1.0.1",
			kernel.PathSurvey{Rules: kernel.RuleSurvey{Missing: prefixes("30.1.0.0/16")}},
			nil,
			[]string{"rules failed: no rule leads lookups of 30.1.0.0/16 to table 1790"},
		},
		{
			"no survey", "20.1.50.1",
			kernel.PathSurvey{},
			errUnreadable,
			[]string{"rules cannot tell: " + errUnreadable.Error(), "hand-made-routes cannot tell: " + errUnreadable.Error()},
		},
	} {
		var found []string
		host := LookOnPath(t.Context(), sources(cfg, stillFIB{}, proc), netip.MustParseAddr(c.address), c.survey, c.err)
		for _, check := range ExaminePath(host) {
			found = append(found, check.Name+" "+string(check.Result)+": "+check.Why)
		}
		if diff := cmp.Diff(c.want, found); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// What drops or changes packets on the way is told of the way that they take.
func TestPathOfPackets(t *testing.T) {
	cfg := &config.Config{
		Cluster: config.Cluster{PodCIDRs: prefixes("10.1.0.0/16")}, Node: config.Node{Address: netip.MustParseAddr("9.111.255.21")},
		Remotes: []config.Remote{{PodCIDRs: prefixes("20.1.0.0/16")}},
	}
	rule := kernel.Rule{Priority: 1790, Table: 1790, To: prefixes("20.1.0.0/16")[0], Protocol: 114}
	fib := stillFIB{rules: []kernel.Rule{rule}, addresses: []kernel.Address{
		{Device: 3, Local: cfg.Node.Address, Subnet: prefixes("9.111.255.0/24")[0]},
	}}
	proc := fstest.MapFS{
		"sys/net/ipv4/ip_forward":             {Data: []byte("1\n")},
		"sys/net/ipv4/conf/eth0.7/forwarding": {Data: []byte("1\n")},
		"sys/net/ipv4/conf/all/rp_filter":     {Data: []byte("1\n")},
		"sys/net/ipv4/conf/eth1/rp_filter":    {Data: []byte("0\n")},
	}
	from := sources(cfg, fib, proc)
	got := ExaminePath(LookOnPath(t.Context(), from, netip.MustParseAddr("20.1.47.150"), kernel.PathSurvey{Link: kernel.Link{Name: "eth0.7"}}, nil))
	want := []Check{{
		Name: "rp-filter", Result: Failed,
		Why: "net/ipv4/conf/all/rp_filter is strict, and packets of remote pods (20.1.47.150/32) come in by eth1 while answers " +
			"leave by eth0.7: they are dropped",
		Fix: "let both ways use one device, or: sysctl -w net/ipv4/conf/eth1/rp_filter=2, and the same in a file in /etc/sysctl.d",
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
