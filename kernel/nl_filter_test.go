package kernel

import (
	"encoding/binary"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// TestEventFilter runs the program in a virtual machine: it needs no root.
func TestEventFilter(t *testing.T) {
	const writer = 4711
	for _, table := range []uint32{mainTable, testTable} {
		filter, err := eventFilter(writer, table)
		if err != nil {
			t.Fatal(err)
		}
		raw := make([]bpf.RawInstruction, len(filter))
		for i, in := range filter {
			raw[i] = bpf.RawInstruction{Op: in.Code, Jt: in.Jt, Jf: in.Jf, K: in.K}
		}
		program, all := bpf.Disassemble(raw)
		if !all {
			t.Fatal("the program has instructions that are none")
		}
		vm, err := bpf.NewVM(program)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name  string
			typ   uint16
			port  uint32
			table uint8
			keep  bool
		}{
			{"a route of the table", unix.RTM_NEWROUTE, 99, shortTable(table), true},
			{"a deleted route of the table", unix.RTM_DELROUTE, 0, shortTable(table), true},
			{"a route of our own", unix.RTM_NEWROUTE, writer, shortTable(table), false},
			{"a delete of our own", unix.RTM_DELROUTE, writer, shortTable(table), false},
			{"a route of another table", unix.RTM_NEWROUTE, 99, 7, false},
			{"a deleted route of another table", unix.RTM_DELROUTE, 99, 7, false},
			{"a link", unix.RTM_NEWLINK, 99, 7, true},
			{"an address that the kernel removed", unix.RTM_DELADDR, 0, 0, true},
			{"a rule", unix.RTM_NEWRULE, 99, 7, true},
		} {
			n, err := vm.Run(notification(c.typ, c.port, c.table))
			if err != nil || (n > 0) != c.keep {
				t.Errorf("table %d, %s: kept %v (%v), want %v", table, c.name, n > 0, err, c.keep)
			}
		}
	}
}

// notification is a message as a listener gets it, with the table where a route has it.
func notification(typ uint16, port uint32, table uint8) []byte {
	b := make([]byte, unix.NLMSG_HDRLEN+unix.SizeofRtMsg)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[offsetType:], typ)
	binary.NativeEndian.PutUint32(b[offsetPort:], port)
	b[offsetTable] = table
	return b
}
