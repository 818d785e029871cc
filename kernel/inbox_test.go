package kernel

import (
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// TestInboxKeepsTheLast: however often changes were squeezed, what they come to is the same, and what waits is bounded.
func TestInboxKeepsTheLast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var in inbox
		want := map[netip.Prefix]netip.Addr{}
		hops := []netip.Addr{{}, netip.MustParseAddr("192.0.2.77"), netip.MustParseAddr("192.0.2.78")}
		prefix := rapid.Custom(func(t *rapid.T) netip.Prefix {
			return netip.MustParsePrefix(fmt.Sprintf("20.1.%d.0/26", rapid.IntRange(0, 9).Draw(t, "octet")))
		})
		for _, n := range rapid.SliceOf(rapid.IntRange(1, 20)).Draw(t, "lists") {
			var list []Change
			for range n {
				c := Change{Route: Route{Prefix: prefix.Draw(t, "prefix"), NextHop: rapid.SampledFrom(hops).Draw(t, "hop")}}
				list = append(list, c)
				want[c.Route.Prefix] = c.Route.NextHop
			}
			in.add(list)
			if rapid.Bool().Draw(t, "squeeze") {
				if in.squeeze(); in.count > len(want) {
					t.Fatalf("%d changes wait for %d prefixes", in.count, len(want))
				}
			}
		}
		got, count := map[netip.Prefix]netip.Addr{}, 0
		for _, list := range in.lists {
			for _, c := range list {
				got[c.Route.Prefix] = c.Route.NextHop
				count++
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || count != in.count {
			t.Fatalf("got %v (%d, counted %d), want %v", got, count, in.count, want)
		}
	})
}

// TestInboxIsBounded: two prefixes that change all the time do not fill the memory while the loop is busy.
func TestInboxIsBounded(t *testing.T) {
	var in inbox
	for range 10 * inboxRoom {
		in.add([]Change{wanted("20.1.0.0/26", "192.0.2.77"), unwanted("20.1.0.64/26")})
		if in.count > inboxRoom {
			t.Fatalf("%d changes wait", in.count)
		}
	}
}
