package kernel

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/net/bpf"
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
func eventFilter(writer, table uint32) ([]unix.SockFilter, error) {
	const all = 0xffffffff
	program, err := bpf.Assemble([]bpf.Instruction{
		/* 0 */ bpf.LoadAbsolute{Off: offsetPort, Size: 4},
		/* 1 */ bpf.JumpIf{Cond: bpf.JumpEqual, Val: network32(writer), SkipTrue: 6}, // ours: drop
		/* 2 */ bpf.LoadAbsolute{Off: offsetType, Size: 2},
		/* 3 */ bpf.JumpIf{Cond: bpf.JumpEqual, Val: network16(unix.RTM_NEWROUTE), SkipTrue: 1},
		/* 4 */ bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: network16(unix.RTM_DELROUTE), SkipTrue: 2}, // no route: keep
		/* 5 */ bpf.LoadAbsolute{Off: offsetTable, Size: 1},
		/* 6 */ bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(shortTable(table)), SkipTrue: 1}, // not ours: drop
		/* 7 */ bpf.RetConstant{Val: all},
		/* 8 */ bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return nil, fmt.Errorf("assemble the event filter: %w", err)
	}
	filter := make([]unix.SockFilter, len(program))
	for i, in := range program {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	return filter, nil
}

// network32 and network16 give the value that BPF, which loads in network byte order, sees where the host wrote v.
func network32(v uint32) uint32 {
	return binary.BigEndian.Uint32(binary.NativeEndian.AppendUint32(nil, v))
}

func network16(v uint16) uint32 {
	return uint32(binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, v)))
}
