package guard

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"routed/lab"
)

// What others do in their tables wakes nobody, whatever their names; what is done in ours says who did it.
func TestKernelWatch(t *testing.T) {
	lab.Need(t, lab.NFT)
	ctx, cancel := context.WithCancel(t.Context())
	notices, err := kernelTables{}.watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	nft(t, "-f", "-", theirs)
	nft(t, "flush", "ruleset")
	for _, line := range []string{
		"add table inet routed",
		"add chain inet routed input { type filter hook input priority 0; }",
		"add rule inet routed input accept",
		"add set inet routed s { type ipv4_addr; }",
		"add element inet routed s { 192.0.2.1 }",
		"delete element inet routed s { 192.0.2.1 }",
		"delete table inet routed",
	} {
		nft(t, "-f", "-", line)
		select {
		case n := <-notices:
			if n.name != "nft" || n.pid == 0 {
				t.Errorf("%q: %+v", line, n)
			}
		case <-time.After(patience):
			t.Fatalf("no notice of %q", line)
		}
	}
	select {
	case n := <-notices:
		t.Errorf("one too many: %+v", n)
	default:
	}
	cancel()
	eventually(t, "the end of the watcher", func() error {
		for range notices {
			t.Error("a notice at the end")
		}
		return nil
	})
}

// event is a message of nf_tables.
func event(kind uint16, nfproto uint8, attributes ...[]byte) []byte {
	head := make([]byte, unix.NLMSG_HDRLEN+4)
	head[unix.NLMSG_HDRLEN] = nfproto
	b := slices.Concat(append([][]byte{head}, attributes...)...)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], unix.NFNL_SUBSYS_NFTABLES<<8|kind)
	return b
}

func attribute(kind uint16, value string) []byte {
	length := unix.SizeofNlAttr + len(value)
	b := make([]byte, align(length))
	binary.NativeEndian.PutUint16(b, uint16(length))
	binary.NativeEndian.PutUint16(b[2:], kind)
	copy(b[unix.SizeofNlAttr:], value)
	return b
}

func TestWatcherReadsNames(t *testing.T) {
	ours, gen := attribute(unix.NFTA_TABLE_NAME, "routed\x00"), attribute(unix.NFTA_GEN_PROC_NAME, "nft\x00")
	pid := attribute(unix.NFTA_GEN_PROC_PID, "\x00\x00\x01\x02")
	for name, tc := range map[string]struct {
		events [][]byte
		want   []notice
	}{
		"ours": {[][]byte{
			event(unix.NFT_MSG_NEWRULE, unix.NFPROTO_INET, ours), event(unix.NFT_MSG_NEWRULE, unix.NFPROTO_INET, ours),
			event(unix.NFT_MSG_NEWGEN, 0, pid, gen),
		}, []notice{{pid: 258, name: "nft"}}},
		"another family": {[][]byte{
			event(unix.NFT_MSG_NEWRULE, unix.NFPROTO_IPV4, ours), event(unix.NFT_MSG_NEWGEN, 0, pid, gen),
		}, nil},
		"another table": {[][]byte{
			event(unix.NFT_MSG_NEWRULE, unix.NFPROTO_INET, attribute(unix.NFTA_TABLE_NAME, "router\x00")),
			event(unix.NFT_MSG_NEWGEN, 0, pid, gen),
		}, nil},
		"nameless": {[][]byte{event(unix.NFT_MSG_NEWRULE, unix.NFPROTO_INET), event(unix.NFT_MSG_NEWGEN, 0)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := &watcher{out: make(chan notice, noticesWait)}
			var all []byte
			for _, e := range tc.events {
				all = append(all, e...)
			}
			w.datagram(all)
			close(w.out)
			var got []notice
			for n := range w.out {
				got = append(got, n)
			}
			if len(got) != len(tc.want) || (len(got) == 1 && got[0] != tc.want[0]) {
				t.Errorf("%+v, want %+v", got, tc.want)
			}
		})
	}
}

// A reader that is away misses nothing but repetitions.
func TestWatcherDoesNotWaitForItsReader(t *testing.T) {
	w := &watcher{out: make(chan notice, noticesWait)}
	for range 3 * noticesWait {
		w.tell(notice{})
	}
	if len(w.out) != noticesWait {
		t.Errorf("%d notices wait", len(w.out))
	}
}

func FuzzDatagram(f *testing.F) {
	f.Add(event(unix.NFT_MSG_NEWRULE, unix.NFPROTO_INET, attribute(unix.NFTA_TABLE_NAME, "routed\x00")))
	f.Add(event(unix.NFT_MSG_NEWGEN, 0, attribute(unix.NFTA_GEN_PROC_PID, "1234")))
	f.Fuzz(func(t *testing.T, b []byte) {
		w := &watcher{out: make(chan notice, noticesWait)}
		w.datagram(b)
		if !bytes.Contains(b, []byte(tableName)) && (w.touched || len(w.out) > 0) {
			t.Errorf("a notice of what has not our name in it: %q", b)
		}
	})
}
