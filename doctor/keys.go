package doctor

import "fmt"

// KeyRoom is what the TCP MD5 keys of this node's peers need of net.core.optmem_max, in bytes.
type KeyRoom struct {
	Keys  int // on one socket
	Least int // with less some keys have no place for sure
	Need  int // with this all have theirs, on any kernel
	Have  int
}

// checkKeys looks at whether the kernel has room for the TCP MD5 keys of all peers. A peer whose key it refuses is held
// closed: without the key it would be one without a password.
func checkKeys(h Host) []Check {
	const name = "md5-keys"
	room := h.KeyRoom.Value
	switch {
	case h.KeyRoom.Err != nil:
		return []Check{unknown(name, h.KeyRoom.Err, "see `routed check` for the peers and `sysctl net.core.optmem_max` for the room")}
	case room.Keys == 0:
		return []Check{good(name, "no session has a password, so that the kernel needs no room for keys")}
	case room.Have >= room.Need:
		return []Check{good(name, "net.core.optmem_max has room for the TCP MD5 keys of %d peers", room.Keys)}
	}
	c := Check{
		Name: name, Result: Warning,
		Why: fmt.Sprintf("net.core.optmem_max is %d, and %d TCP MD5 keys take up to %d of it: some may be refused",
			room.Have, room.Keys, room.Need),
		Fix: fmt.Sprintf("sysctl -w net.core.optmem_max=%d, and the same in a file in /etc/sysctl.d", room.Need),
	}
	if room.Have < room.Least {
		c.Result = Failed
		c.Why = fmt.Sprintf("net.core.optmem_max is %d, too little for %d TCP MD5 keys: the peers whose keys are refused are held closed",
			room.Have, room.Keys)
	}
	return []Check{c}
}
