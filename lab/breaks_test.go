package lab_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"routed/lab"
)

// Each of these breaks one thing and returns what mends it.

func (m *mesh) stopsBIRD(node *lab.Node) func(*testing.T) func() {
	return func(t *testing.T) func() {
		t.Helper()
		must(t, node.StopBIRD(m.ctx))
		return func() { must(t, node.StartBIRD(m.ctx, m.bird)) }
	}
}

func (m *mesh) stopsRouted(node *lab.Node) func(*testing.T) func() {
	return func(t *testing.T) func() {
		t.Helper()
		must(t, node.StopRouted(m.ctx))
		return func() { must(t, node.StartRouted(m.ctx, m.binary, m.bird.Peering)) }
	}
}

// ip runs `ip` on a node.
func (m *mesh) ip(t *testing.T, node *lab.Node, words ...string) {
	t.Helper()
	_, err := node.IP(m.ctx, words...)
	must(t, err)
}

func (m *mesh) routes(node *lab.Node, op string, route ...string) func(*testing.T) func() {
	return func(t *testing.T) func() {
		t.Helper()
		m.ip(t, node, slices.Concat([]string{"route", op}, route)...)
		return func() { m.ip(t, node, slices.Concat([]string{"route", "del"}, route)...) }
	}
}

func (m *mesh) diverts(node *lab.Node, rule ...string) func(*testing.T) func() {
	return func(t *testing.T) func() {
		t.Helper()
		m.ip(t, node, slices.Concat([]string{"rule", "add"}, rule)...)
		return func() { m.ip(t, node, slices.Concat([]string{"rule", "del"}, rule)...) }
	}
}

// linkDown takes a node's link to the others away, and with it the default route, which nobody but the administrator brings
// back.
func (m *mesh) linkDown(node *lab.Node) func(*testing.T) func() {
	return func(t *testing.T) func() {
		t.Helper()
		gateway := node.DefaultGateway().String()
		m.ip(t, node, "link", "set", "eth0", "down")
		return func() {
			m.ip(t, node, "link", "set", "eth0", "up")
			m.ip(t, node, "route", "add", "default", "via", gateway, "dev", "eth0", "proto", "static")
		}
	}
}

// goesQuiet takes the link of a remote node away while this node has packets for it.
func (m *mesh) goesQuiet(node, remote *lab.Node) func(*testing.T) func() {
	return func(t *testing.T) func() {
		t.Helper()
		mend := m.linkDown(remote)(t)
		if _, err := node.Ping(m.ctx, remote.Spec.Addr); err == nil {
			t.Error("it answers")
		}
		return mend
	}
}

// announcesOutside has a node whose cluster was given a second range, of which this node was not told.
func (m *mesh) announcesOutside(node *lab.Node, block string) func(*testing.T) func() {
	return func(t *testing.T) func() {
		t.Helper()
		prefix := netip.MustParsePrefix(block)
		restart := func(edit func(string) string) {
			must(t, node.StopRouted(m.ctx))
			node.EditRouted(edit)
			must(t, node.StartRouted(m.ctx, m.binary, m.bird.Peering))
		}
		restart(func(text string) string {
			return strings.Replace(text, `podCIDRs: ["20.1.0.0/16"]`, `podCIDRs: ["20.1.0.0/16", "20.2.0.0/16"]`, 1)
		})
		must(t, node.AddBlock(m.ctx, prefix))
		return func() {
			must(t, node.RemoveBlock(m.ctx, prefix))
			restart(nil)
		}
	}
}

// brakes has every BIRD of cluster-2 withdraw its blocks at once.
func (m *mesh) brakes() func(*testing.T) func() {
	return func(t *testing.T) func() {
		t.Helper()
		birds := func(word string) {
			must(t, lab.Each(m.ctx, m.NodesOf("cluster-2"), func(ctx context.Context, remote *lab.Node) error {
				_, err := remote.Birdc(ctx, word, "static1") // the protocol that has the node's blocks
				return err
			}))
		}
		birds("disable")
		return func() { birds("enable") }
	}
}

// forwardsNot turns a node's router into a host (ip-sysctl.rst: ip_forward).
func (m *mesh) forwardsNot(node *lab.Node) func(*testing.T) func() {
	return func(t *testing.T) func() {
		t.Helper()
		must(t, node.Sysctls(m.ctx, "ipv4/ip_forward=0"))
		return func() { must(t, node.Sysctls(m.ctx, "ipv4/ip_forward=1")) }
	}
}

// masquerades is what Felix writes in its nftables mode for the pool 10.1.0.0/16 with natOutgoing, when it knows of no pool
// of the other cluster (felix/rules/nat.go).
func (m *mesh) masquerades(node *lab.Node) func(*testing.T) func() {
	const rules = `table ip calico {
	set cali40all-ipam-pools { type ipv4_addr; flags interval; elements = { 10.1.0.0/16 }; }
	set cali40masq-ipam-pools { type ipv4_addr; flags interval; elements = { 10.1.0.0/16 }; }
	chain nat-cali-nat-outgoing {
		ip saddr @cali40masq-ipam-pools ip daddr != @cali40all-ipam-pools counter masquerade fully-random
	}
	chain nat-cali-POSTROUTING { counter jump nat-cali-nat-outgoing; }
	chain nat-POSTROUTING {
		type nat hook postrouting priority srcnat; policy accept;
		counter jump nat-cali-POSTROUTING
	}
}`
	return func(t *testing.T) func() {
		t.Helper()
		nft(m.ctx, t, node, rules)
		return func() { nft(m.ctx, t, node, "delete", "table", "ip", "calico") }
	}
}

// asymmetric gives a node a second link on which its remote next hop is nearer, as by its longer subnet, and has it be strict
// on the first, by which the others reach it. So it answers by another link than the one that packets come in by.
func (m *mesh) asymmetric(node *lab.Node, addr string) func(*testing.T) func() {
	return func(t *testing.T) func() {
		t.Helper()
		must(t, node.Sysctls(m.ctx, "ipv4/conf/eth0/rp_filter=1"))
		must(t, node.AddLink(m.ctx, "eth1", netip.MustParsePrefix(addr)))
		return func() {
			must(t, node.RemoveLink(m.ctx, "eth1"))
			must(t, node.Sysctls(m.ctx, "ipv4/conf/eth0/rp_filter=0"))
		}
	}
}

// refuses has the kernel find no way to a next hop that is on the link, and so refuse the route there.
func (m *mesh) refuses(node *lab.Node, hop, block string) func(*testing.T) func() {
	return func(t *testing.T) func() {
		t.Helper()
		mend := m.diverts(node, "to", hop, "unreachable", "pref", "50")(t)
		m.ip(t, node, "route", "del", block, "table", lab.RoutedTable)
		return mend
	}
}
