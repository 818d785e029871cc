package doctor

import (
	"net/netip"
	"testing"

	"routed/snat"
)

func TestMasquerade(t *testing.T) {
	felix := snat.Finding{
		From: netip.MustParseAddr("10.1.198.128"), To: netip.MustParseAddr("20.1.0.0"), Range: prefixes("20.1.0.0/16")[0],
		Chain: "cali-nat-outgoing", Table: "ip nat", Certain: true, Look: "iptables-legacy -t nat -S cali-nat-outgoing",
		Where: "where the destination is not in cali40all-ipam-pools",
	}
	with := func(change func(f *snat.Finding)) func(h *Host) {
		return func(h *Host) {
			f := felix
			change(&f)
			h.SourceNAT = []snat.Finding{f}
		}
	}
	const pool = "tell Calico that 20.1.0.0/16 are pods: a disabled IPPool with natOutgoing: false, which `routed calico` prints"
	runChecks(t, "masquerade", checkMasquerade, []checkCase{
		{"Felix does not know the range", with(func(*snat.Finding) {}), []Check{{
			Result: Failed, Fix: pool,
			Why: "packets of pods to 20.1.0.0/16 lose their source address: chain cali-nat-outgoing of table ip nat masquerades " +
				"where the destination is not in cali40all-ipam-pools",
		}}},
		{"Felix knows a part of it", with(func(f *snat.Finding) { f.To = netip.MustParseAddr("20.1.128.0") }), []Check{{
			Result: Failed, Fix: pool,
			Why: "packets of pods to 20.1.0.0/16 (such as 20.1.128.0) lose their source address: chain cali-nat-outgoing of table " +
				"ip nat masquerades where the destination is not in cali40all-ipam-pools",
		}}},
		{"on the way to one address", with(func(f *snat.Finding) {
			f.Range, f.To = prefixes("20.1.47.150/32")[0], netip.MustParseAddr("20.1.47.150")
		}), []Check{{
			Result: Failed, Fix: pool,
			Why: "packets of pods to 20.1.47.150 lose their source address: chain cali-nat-outgoing of table ip nat masquerades " +
				"where the destination is not in cali40all-ipam-pools",
		}}},
		{"somebody else", with(func(f *snat.Finding) {
			f.Chain, f.Table, f.Where, f.Look = "post", "inet mine", "always", "nft list chain inet mine post"
		}), []Check{{
			Result: Failed, Why: "packets of pods to 20.1.0.0/16 lose their source address: chain post of table inet mine masquerades always",
			Fix: "make an exception for 20.1.0.0/16 before that rule; `nft list chain inet mine post` shows it",
		}}},
		{"somebody who says more than we understand", with(func(f *snat.Finding) {
			f.Certain, f.Where = false, "where numgen agrees"
		}), []Check{{
			Result: Unknown, Fix: "see `iptables-legacy -t nat -S cali-nat-outgoing`",
			Why: "packets of pods to 20.1.0.0/16 may lose their source address: chain cali-nat-outgoing of table ip nat masquerades " +
				"where numgen agrees",
		}}},
		{"unreadable", func(h *Host) {
			h.SourceNATGaps = []snat.Gap{{What: "the rules of iptables-legacy", Err: errUnreadable, Look: "iptables-legacy-save -t nat"}}
		}, []Check{{
			Result: Unknown, Why: "the rules of iptables-legacy cannot be read: it cannot be read",
			Fix: "run as root: iptables-legacy-save -t nat; see that no rule masquerades packets to 20.1.0.0/16",
		}}},
	})
}
