package doctor

import "testing"

func TestRPFilter(t *testing.T) {
	runChecks(t, "rp-filter", checkRPFilter, []checkCase{
		{"strict, and another way out", func(h *Host) { h.Returns.Value[0].Answers = "eth1" }, []Check{{
			Result: Failed,
			Why: "net/ipv4/conf/eth0/rp_filter is strict, and packets of remote pods (20.1.47.128/26) come in by eth0 while answers " +
				"leave by eth1: they are dropped",
			Fix: "let both ways use one device, or: sysctl -w net/ipv4/conf/eth0/rp_filter=2, and the same in a file in /etc/sysctl.d",
		}}},
		{"strict for all", func(h *Host) {
			h.Returns.Value[0].Answers, h.RPFilter[0].Value.Value, h.RPFilter[1].Value.Value = "eth1", "1", "0"
		}, []Check{{
			Result: Failed,
			Why: "net/ipv4/conf/all/rp_filter is strict, and packets of remote pods (20.1.47.128/26) come in by eth0 while answers " +
				"leave by eth1: they are dropped",
			Fix: "let both ways use one device, or: sysctl -w net/ipv4/conf/eth0/rp_filter=2, and the same in a file in /etc/sysctl.d",
		}}},
		{"loose for all goes before strict", func(h *Host) {
			h.Returns.Value[0].Answers, h.RPFilter[0].Value.Value = "eth1", "2"
		}, []Check{{Result: Good, Why: "no strict reverse path filter is where packets of pods come in"}}},
		{"off", func(h *Host) {
			h.Returns.Value[0].Answers = "eth1"
			h.RPFilter[1].Value.Value, h.RPFilter[2].Value.Value = "0", "0"
		}, []Check{{Result: Good, Why: "no strict reverse path filter is where packets of pods come in"}}},
		{"no way back, and loose", func(h *Host) { h.Returns.Value[0].Answers, h.RPFilter[1].Value.Value = "", "2" }, []Check{{
			Result: Failed,
			Why: "net/ipv4/conf/eth0/rp_filter is 2, and there is no way back to remote pods (20.1.47.128/26) that come in by eth0: " +
				"their packets are dropped",
			Fix: "see `ip route get 20.1.47.128` for what is in the way",
		}}},
		{"a pod's packets lead elsewhere", func(h *Host) { h.Returns.Value[1].Answers = "eth1" }, []Check{{
			Result: Failed,
			Why: "net/ipv4/conf/cali1/rp_filter is strict, and packets of this node's pods (10.1.198.140/32) come in by cali1 while " +
				"answers leave by eth1: they are dropped",
			Fix: "let both ways use one device, or: sysctl -w net/ipv4/conf/cali1/rp_filter=2, and the same in a file in /etc/sysctl.d",
		}}},
		{"many behind one device", func(h *Host) {
			h.Returns.Value[0].Answers = "eth1"
			h.Returns.Value = append(h.Returns.Value, h.Returns.Value[0])
		}, []Check{{
			Result: Failed,
			Why: "net/ipv4/conf/eth0/rp_filter is strict, and packets of remote pods (20.1.47.128/26) come in by eth0 while answers " +
				"leave by eth1: they are dropped",
			Fix: "let both ways use one device, or: sysctl -w net/ipv4/conf/eth0/rp_filter=2, and the same in a file in /etc/sysctl.d",
		}}},
		{"one unreadable", func(h *Host) { h.RPFilter[1].Value.Err = errUnreadable }, []Check{{
			Result: Unknown, Why: "it cannot be read", Fix: "look at it with `sysctl net/ipv4/conf/eth0/rp_filter`",
		}}},
		{"all unreadable", func(h *Host) { h.Returns.Err = errUnreadable }, []Check{{
			Result: Unknown, Why: "it cannot be read", Fix: "see `ip route get` for a remote pod and `sysctl -a --pattern rp_filter`",
		}}},
	})
}
