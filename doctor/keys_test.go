package doctor

import "testing"

func TestKeys(t *testing.T) {
	const fix = "sysctl -w net.core.optmem_max=28672, and the same in a file in /etc/sysctl.d"
	room := KeyRoom{Keys: 150, Least: 19200, Need: 28672}
	with := func(have int) func(*Host) {
		room.Have = have
		now := room
		return func(h *Host) { h.KeyRoom.Value = now }
	}
	runChecks(t, "md5-keys", checkKeys, []checkCase{
		{"too little", with(19199), []Check{{
			Result: Failed, Fix: fix,
			Why: "net.core.optmem_max is 19199, too little for 150 TCP MD5 keys: the peers whose keys are refused are held closed",
		}}},
		{"perhaps enough", with(19200), []Check{{
			Result: Warning, Fix: fix, Why: "net.core.optmem_max is 19200, and 150 TCP MD5 keys take up to 28672 of it: some may be refused",
		}}},
		{"enough", with(28672), []Check{{
			Result: Good, Why: "net.core.optmem_max has room for the TCP MD5 keys of 150 peers",
		}}},
		{"unreadable", func(h *Host) { h.KeyRoom.Err = errUnreadable }, []Check{{
			Result: Unknown, Why: "it cannot be read",
			Fix: "see `routed check` for the peers and `sysctl net.core.optmem_max` for the room",
		}}},
	})
}
