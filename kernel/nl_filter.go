package kernel

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Offsets in a notification: struct nlmsghdr, then struct rtmsg.
const (
	offsetType  = 4
	offsetPort  = 12
	offsetTable = unix.NLMSG_HDRLEN + 4
)

// eventFilter is a classic BPF program for a listening socket. It drops, in the kernel, what our own writer caused
// (a bulk install would echo one event a route), and route events of other tables, as far as the one byte of the
// header tells them apart.
func eventFilter(writer, table uint32) []unix.SockFilter {
	const (
		loadWord = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		loadHalf = unix.BPF_LD | unix.BPF_H | unix.BPF_ABS
		loadByte = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS
		ifEqual  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		give     = unix.BPF_RET | unix.BPF_K
		all      = 0xffffffff
	)
	return []unix.SockFilter{
		/* 0 */ {Code: loadWord, K: offsetPort},
		/* 1 */ {Code: ifEqual, K: network32(writer), Jt: 6}, // ours: drop
		/* 2 */ {Code: loadHalf, K: offsetType},
		/* 3 */ {Code: ifEqual, K: network16(unix.RTM_NEWROUTE), Jt: 1},
		/* 4 */ {Code: ifEqual, K: network16(unix.RTM_DELROUTE), Jf: 2}, // no route: keep
		/* 5 */ {Code: loadByte, K: offsetTable},
		/* 6 */ {Code: ifEqual, K: uint32(shortTable(table)), Jf: 1}, // another table: drop
		/* 7 */ {Code: give, K: all},
		/* 8 */ {Code: give, K: 0},
	}
}

// network32 and network16 give the value that BPF, which loads in network byte order, sees where the host wrote v.
func network32(v uint32) uint32 {
	return binary.BigEndian.Uint32(binary.NativeEndian.AppendUint32(nil, v))
}

func network16(v uint16) uint32 {
	return uint32(binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, v)))
}
