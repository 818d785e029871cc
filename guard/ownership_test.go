package guard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"routed/lab"
)

// theirs is what other programs have in a node's packet filter, some of it under our name in another family.
const theirs = `table ip nat {
	chain post { type nat hook postrouting priority 100; ip saddr 10.1.0.0/24 ip daddr != 10.1.0.0/24 counter masquerade comment "pods"; }
}
table inet filter {
	set blocked { type ipv4_addr; flags interval; elements = { 192.0.2.0/24, 198.51.100.7 }; }
	map ports { type inet_service : verdict; elements = { 22 : accept, 1790 : accept }; }
	counter dropped { packets 7 bytes 420 }
	chain input { type filter hook input priority 0; policy accept; ip saddr @blocked counter name "dropped" drop; tcp dport vmap @ports; }
	chain forward { type filter hook forward priority -310; policy accept; meta mark 0x40 ct state established accept; }
}
table ip routed { chain input { type filter hook input priority -310; policy accept; tcp dport 1790 accept; }; }
table ip6 raw { chain pre { type filter hook prerouting priority raw; ip6 hoplimit 1 counter; rt classid 7; }; }
`

// others lists the whole packet filter but our table, as nft tells it in JSON, handles included.
func others(t *testing.T) string {
	t.Helper()
	var listing struct {
		NFTables []map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(nft(t, "-j", "-a", "list", "ruleset")), &listing); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, one := range listing.NFTables {
		for kind, raw := range one {
			var of struct{ Family, Table, Name string }
			if err := json.Unmarshal(raw, &of); err != nil {
				t.Fatal(err)
			}
			if of.Family != "inet" || (of.Table != tableName && (kind != "table" || of.Name != tableName)) {
				fmt.Fprintf(&out, "%s %s\n", kind, raw)
			}
		}
	}
	return out.String()
}

// withOthers puts theirs in place for a test.
func withOthers(t *testing.T) string {
	t.Helper()
	lab.Need(t, lab.NFT)
	nft(t, "-f", "-", theirs)
	t.Cleanup(func() { nft(t, "flush", "ruleset") })
	before := others(t)
	if strings.Count(before, "\n") < 15 {
		t.Fatalf("that is not all of it: %s", before)
	}
	return before
}

func wantOthers(t *testing.T, before, when string) {
	t.Helper()
	if diff := cmp.Diff(before, others(t)); diff != "" {
		t.Errorf("the tables of others after %s:\n%s", when, diff)
	}
}

func TestKernelOthersAreNotTouched(t *testing.T) {
	before := withOthers(t)
	k := start(t, nodeState())
	wantOthers(t, before, "the first write")
	s := nodeState()
	s.Peers = s.Peers[1:]
	setAndWait(t, k, s)
	wantOthers(t, before, "a roster change")
	s.Peers = append(s.Peers, Peer{Addr: addr("9.9.9.9"), Port: 1799, MaxHops: 7})
	setAndWait(t, k, s)
	wantOthers(t, before, "a change of the rules")
	nft(t, "delete", "table", "inet", "routed")
	wantRepaired(t, k, 1)
	wantOthers(t, before, "a repair")
	if removed, err := Flush(); !removed || err != nil {
		t.Errorf("flush: %t, %v", removed, err)
	}
	wantOthers(t, before, "a flush, or a repair behind it")
}

func wantRepaired(t *testing.T, k *Keeper, times uint64) {
	t.Helper()
	eventually(t, "the repair", func() error {
		if s := k.Status(); s.Repairs != times || s.Condition != Active {
			return fmt.Errorf("status %+v", s)
		}
		return nil
	})
}

// listing is our table as nft shows it, without what counts.
func listing(t *testing.T) string {
	t.Helper()
	return nft(t, "--stateless", "list", "table", "inet", "routed")
}

func TestKernelRepairs(t *testing.T) {
	lab.Need(t, lab.NFT)
	k := start(t, nodeState())
	want := listing(t)
	for i, what := range []string{
		"delete table inet routed",
		"flush ruleset",
		"flush table inet routed",
		"flush chain inet routed speaker",
		"insert rule inet routed input accept",
		"insert rule inet routed speaker ip saddr 192.0.2.1 accept",
		"add rule inet routed forward meta l4proto gre notrack",
		"add chain inet routed mine { type filter hook input priority -400; policy accept; }",
		"add chain inet routed input { policy drop; }",
		"add set inet routed mine { type inet_service; flags interval; elements = { 1-5 }; }",
		"add map inet routed mine { type ipv4_addr : verdict; elements = { 192.0.2.1 : accept }; }",
		"add element inet routed peer4_1790_255 { 192.0.2.1, 192.0.2.2 }",
		"delete element inet routed peer4_1790_255 { 9.111.255.77 }",
		"flush set inet routed listen6",
		"add table inet routed { flags dormant; }",
		"replace rule inet routed speaker handle HANDLE ip saddr @peer4_1790_255 accept comment \"routed: peers with maxHops 1\"",
		// The library does not show `rt`: only the handle tells that this rule is another.
		"replace rule inet routed speaker handle HANDLE rt classid 7 ip saddr @peer4_1790_255 ip ttl 255 accept comment \"routed: peers with maxHops 1\"",
	} {
		nft(t, "-f", "-", strings.ReplaceAll(what, "HANDLE", handleOf(t, "@peer4_1790_255 ip ttl 255 accept")))
		wantRepaired(t, k, uint64(i+1))
		if got := listing(t); got != want {
			t.Fatalf("after %q:\n%s\nwant\n%s", what, got, want)
		}
	}
}

// handleOf finds the handle of a rule of our table.
func handleOf(t *testing.T, rule string) string {
	t.Helper()
	for line := range strings.Lines(nft(t, "-a", "list", "table", "inet", "routed")) {
		if _, handle, ok := strings.Cut(line, "# handle "); ok && strings.Contains(line, rule) {
			return strings.TrimSpace(handle)
		}
	}
	t.Fatalf("no rule %q", rule)
	return ""
}

// The listing is what an operator reads.
func TestKernelReadable(t *testing.T) {
	lab.Need(t, lab.NFT)
	start(t, nodeState())
	want := `table inet routed {
	set listen4 {
		type ipv4_addr
		elements = { 9.111.255.21, 127.0.0.1 }
	}

	set bird4 {
		type ipv4_addr
		elements = { 9.111.255.21 }
	}

	set listen6 {
		type ipv6_addr
		elements = { fd00::21 }
	}

	set peer4_1790_255 {
		type ipv4_addr
		elements = { 9.111.255.77, 9.111.255.152 }
	}

	set peer4_1791_240 {
		type ipv4_addr
		elements = { 198.51.100.9 }
	}

	set peer6_1790_255 {
		type ipv6_addr
		elements = { fd00::77 }
	}

	chain input {
		type filter hook input priority raw - 10; policy accept;
		tcp dport 1790 ip daddr @listen4 goto speaker comment "routed: to the speaker"
		tcp dport 1790 ip6 daddr @listen6 goto speaker comment "routed: to the speaker"
		tcp sport 1790 ip saddr @peer4_1790_255 tcp flags ! fin,syn,rst ip ttl < 255 counter drop comment "routed: answers from too far"
		tcp sport 1791 ip saddr @peer4_1791_240 tcp flags ! fin,syn,rst ip ttl < 240 counter drop comment "routed: answers from too far"
		tcp sport 1790 ip6 saddr @peer6_1790_255 tcp flags ! fin,syn,rst ip6 hoplimit < 255 counter drop comment "routed: answers from too far"
	}

	chain forward {
		type filter hook forward priority raw - 10; policy accept;
		tcp dport 1790 ip daddr @listen4 counter drop comment "routed: never forwarded to the speaker"
		tcp dport 1790 ip6 daddr @listen6 counter drop comment "routed: never forwarded to the speaker"
		tcp dport 1790 ip daddr @peer4_1790_255 counter drop comment "routed: never forwarded to a peer"
		tcp dport 1791 ip daddr @peer4_1791_240 counter drop comment "routed: never forwarded to a peer"
		tcp dport 1790 ip6 daddr @peer6_1790_255 counter drop comment "routed: never forwarded to a peer"
	}

	chain speaker {
		iif "lo" ip saddr @bird4 accept comment "routed: the local BIRD"
		ip saddr @peer4_1790_255 ip ttl 255 accept comment "routed: peers with maxHops 1"
		ip saddr @peer4_1791_240 ip ttl >= 240 accept comment "routed: peers with maxHops 16"
		ip6 saddr @peer6_1790_255 ip6 hoplimit 255 accept comment "routed: peers with maxHops 1"
		counter drop comment "routed: nobody else"
	}
}
`
	got := listing(t)
	if normal(got) != normal(want) {
		t.Errorf("%s", cmp.Diff(want, got))
	}
}

// normal evens out what differs between versions of nft, and the order of a set's elements, which is the kernel's.
func normal(listing string) string {
	listing = strings.ReplaceAll(listing, "counter packets 0 bytes 0", "counter")
	listing = strings.ReplaceAll(listing, "{ 127.0.0.1, 9.111.255.21 }", "{ 9.111.255.21, 127.0.0.1 }")
	listing = strings.ReplaceAll(listing, "{ 9.111.255.152, 9.111.255.77 }", "{ 9.111.255.77, 9.111.255.152 }")
	return listing
}

// Another program may have taken our table's name.
func TestKernelAForeignTable(t *testing.T) {
	lab.Need(t, lab.NFT)
	nft(t, "-f", "-", `table inet routed { chain input { type filter hook input priority 0; policy accept; tcp dport 1790 accept comment "mine"; }; }`)
	before := nft(t, "-a", "list", "ruleset")
	k := NewKeeper(Config{Mode: Auto, Interval: time.Hour})
	k.Set(nodeState())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		nft(t, "flush", "ruleset")
	})
	<-k.Tried()
	if s := k.Status(); s.Condition != Failing || !strings.Contains(s.Reason, "somebody else") {
		t.Errorf("status %+v", s)
	}
	if removed, err := Flush(); removed || err != nil {
		t.Errorf("flush: %t, %v", removed, err)
	}
	if got := nft(t, "-a", "list", "ruleset"); got != before {
		t.Errorf("it was changed:\n%s\nto\n%s", before, got)
	}
	nft(t, "delete", "table", "inet", "routed")
	eventually(t, "the guard once the name is free", func() error {
		if s := k.Status(); s.Condition != Active {
			return fmt.Errorf("status %+v", s)
		}
		return nil
	})
}

// A table that appears between the look and the write is somebody else's, and is not replaced.
func TestKernelATableThatWasNotThere(t *testing.T) {
	lab.Need(t, lab.NFT)
	nft(t, "add", "table", "inet", "routed")
	t.Cleanup(func() { nft(t, "delete", "table", "inet", "routed") })
	if err := (kernelTables{}).replace(build(nodeState()), false); !errors.Is(err, unix.EEXIST) {
		t.Errorf("replace: %v, want EEXIST", err)
	}
	if got := listing(t); strings.Contains(got, "chain") {
		t.Errorf("something was written: %s", got)
	}
}

// What an earlier run left is taken over, and nothing is open in between.
func TestKernelRestart(t *testing.T) {
	lab.Need(t, lab.NFT)
	if err := (kernelTables{}).replace(build(State{Port: 179, Listen: addrs("9.9.9.9")}), false); err != nil {
		t.Fatal(err)
	}
	k := start(t, nodeState())
	if s := k.Status(); s.Repairs != 0 || s.Errors != 0 {
		t.Errorf("status %+v", s)
	}
	if got := listing(t); strings.Contains(got, "179 ") || !strings.Contains(got, "fd00::77") {
		t.Errorf("not the new one: %s", got)
	}
}

func bigState(n int) State {
	s := nodeState()
	a4, a6 := addr("10.0.0.0"), addr("fd10::")
	for i := range n {
		a4, a6 = a4.Next(), a6.Next()
		p := Peer{Addr: a4, Port: 1790, MaxHops: uint8(1 + i%3)}
		if i%2 == 1 {
			p.Addr = a6
		}
		s.Peers = append(s.Peers, p)
	}
	return s
}

// A change of the roster changes sets alone: rules keep their handles and what they counted.
func TestKernelManyPeers(t *testing.T) {
	lab.Need(t, lab.NFT)
	for _, n := range []int{2000, 20000} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			s := bigState(n)
			k := start(t, s)
			have, err := kernelTables{}.read()
			if err != nil {
				t.Fatal(err)
			}
			if c := compare(build(s), have, nil); c.why != "" {
				t.Fatal(c.why)
			}
			handles := have.handles
			s.Peers = append(s.Peers[:n/2:n/2], Peer{Addr: addr("9.9.9.9"), Port: 1790, MaxHops: 2})
			setAndWait(t, k, s)
			if have, err = (kernelTables{}).read(); err != nil || !cmp.Equal(have.handles, handles) {
				t.Errorf("the rules were written again: %v, before %v, now %v", err, handles, have.handles)
			}
			eventually(t, "the status to tell the new state", func() error { // the kernel has it a moment earlier
				if st := k.Status(); st.Peers != len(s.Peers) {
					return fmt.Errorf("%d peers", st.Peers)
				}
				return nil
			})
			if st := k.Status(); st.Errors != 0 || st.Repairs != 0 {
				t.Errorf("status %+v", st)
			}
		})
	}
}

// While the table is written again and again not one connection of a stranger gets through.
func TestKernelNoGap(t *testing.T) {
	network(t)
	e := endsOf(ipv4)
	open := serve(t, "", e.node, bgpPort, 64)
	stop, _ := knock(t, e)
	eventually(t, "the stranger to get in without the guard", func() error {
		if len(open.came()) == 0 {
			return errors.New("nobody came")
		}
		return nil
	})
	stop()
	open.Close() // with all who got in

	var k kernelTables
	write := func(i int) {
		state := testState(e, map[netip.Addr]uint8{e.peer: uint8(1 + i%3), e.behind: uint8(1 + i%2)})
		if err := k.replace(build(state), i > 0); err != nil {
			t.Fatal(err)
		}
	}
	write(0)
	t.Cleanup(func() {
		if _, err := Flush(); err != nil {
			t.Error(err)
		}
	})
	s := serve(t, "", e.node, bgpPort, 64)
	stop, count := knock(t, e)
	for i := range 300 {
		write(i + 1)
	}
	stop()
	if n := count.Load(); n < 300 {
		t.Errorf("the stranger knocked %d times only", n)
	}
	if got := s.came(); len(got) != 0 {
		t.Errorf("%d of %d got in", len(got), count.Load())
	}
}

// knock opens connections from the stranger's address, one after the other as fast as it can, until it is told to stop.
// Each has until some others were begun to be established.
func knock(t *testing.T, e ends) (stop func(), count *atomic.Int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	count = &atomic.Int64{}
	go func() {
		ended <- within(far, func() error {
			var begun []int
			defer func() {
				for _, fd := range begun {
					_ = unix.Close(fd)
				}
			}()
			for ctx.Err() == nil {
				fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
				if err != nil {
					return err
				}
				begun = append(begun, fd)
				if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: e.stranger.As4()}); err != nil {
					return err
				}
				err = unix.Connect(fd, &unix.SockaddrInet4{Port: bgpPort, Addr: e.node.As4()})
				if !errors.Is(err, unix.EINPROGRESS) {
					return err
				}
				count.Add(1)
				if len(begun) > 50 {
					_ = unix.Close(begun[0])
					begun = begun[1:]
				}
			}
			return nil
		})
	}()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}, count
}

// Without CAP_NET_ADMIN there is a warning and no guard, and the Keeper goes on.
func TestKernelWithoutPermission(t *testing.T) {
	lab.Need(t, lab.NFT)
	var log strings.Builder
	k := NewKeeper(Config{Mode: Auto, Interval: time.Hour, Log: slog.New(slog.NewTextHandler(&log, nil))})
	k.Set(nodeState())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread, and what it lost, end with the goroutine
		if err := dropCapabilities(); err != nil {
			ended <- err
			return
		}
		if removed, err := Flush(); removed || !errors.Is(err, unix.EPERM) {
			t.Errorf("flush: %t, %v", removed, err)
		}
		ended <- k.Run(ctx)
	}()
	select {
	case <-k.Tried():
	case err := <-ended:
		t.Fatal(err)
	}
	s := k.Status()
	if s.Condition != Unavailable || !strings.Contains(s.Reason, "CAP_NET_ADMIN") {
		t.Errorf("status %+v", s)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if strings.Count(log.String(), "event=guard-unavailable") != 1 {
		t.Errorf("log: %s", log.String())
	}
	if got := nft(t, "list", "ruleset"); got != "" {
		t.Errorf("there is something: %s", got)
	}
}

// dropCapabilities takes them from the calling thread.
func dropCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	return unix.Capset(&header, &none[0])
}
