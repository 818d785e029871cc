package main

import (
	"net/netip"
	"testing"
	"time"
)

func TestParseEvent(t *testing.T) {
	when := time.Date(2026, 11, 23, 0, 20, 26, 123456000, time.UTC)
	p := netip.MustParsePrefix("20.0.0.64/26")
	for line, want := range map[string]event{
		"20.0.0.64/26 via 192.0.2.1 dev eth0 table 1790 proto 114 ":           {when, p, false, true},
		"Deleted 20.0.0.64/26 via 192.0.2.1 dev eth0 proto bird metric 32 ":   {when, p, true, true},
		"20.0.0.64/26 nhid 8 via 192.0.2.1 dev eth0 proto bgp metric 20 ":     {when, p, false, true},
		"unreachable 20.0.0.64/26 proto bird metric 32 ":                      {when, p, false, false},
		"Deleted unreachable 20.0.0.64/26 proto bird metric 32 ":              {when, p, true, false},
		"fe80::/64 dev eth0 proto kernel metric 256 pref medium":              {when, netip.MustParsePrefix("fe80::/64"), false, true},
		"multicast ff00::/8 dev eth0 table local proto kernel metric 256 ":    {when, netip.MustParsePrefix("ff00::/8"), false, false},
		"Deleted 192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.2": {when, netip.MustParsePrefix("192.0.2.0/24"), true, true},
	} {
		got, ok, err := parseEvent("[2026-11-23T00:20:26.123456] " + line)
		if !ok || err != nil || got != want {
			t.Errorf("%q: %+v, %t, %v", line, got, ok, err)
		}
	}
	for _, line := range []string{
		"", "\tnexthop via 192.0.2.1 dev eth0 weight 1 ", "[2026-11-23T00:20:26.123456] local 192.0.2.2 dev eth0 table local",
	} {
		if got, ok, err := parseEvent(line); ok || err != nil {
			t.Errorf("%q is an event: %+v, %v", line, got, err)
		}
	}
	for _, line := range []string{"[yesterday] 20.0.0.64/26 via 192.0.2.1", "[2026-11-23T00:20:26.123456] 20.0.0.64/99 via 192.0.2.1"} {
		if _, _, err := parseEvent(line); err == nil {
			t.Errorf("%q: no error", line)
		}
	}
}

// One of three routes comes back twice, a stranger comes and goes, and one that was never deleted is added: only a
// deletion and an addition after it count.
func TestAwaitBack(t *testing.T) {
	m := &monitor{events: make(chan event, 16)}
	for _, e := range []event{
		{at(0), block(1), false, true},
		{at(1), block(1), true, true},
		{at(2), block(9), true, true},
		{at(3), block(2), true, true},
		{at(6), block(1), false, true},
		{at(7), block(1), false, true},
		{at(11), block(2), false, true},
	} {
		m.events <- e
	}
	each, all, err := m.awaitBack(t.Context(), map[netip.Prefix]time.Time{block(1): {}, block(2): {}})
	if err != nil || len(each) != 2 || each[0] != 5 || each[1] != 8 || all != 10*time.Millisecond {
		t.Errorf("each %v, all %v, %v", each, all, err)
	}
}

func TestAwaitAllCountsWhatLeadsSomewhere(t *testing.T) {
	m := &monitor{events: make(chan event, 16)}
	for _, e := range []event{
		{at(1), block(0), false, true},
		{at(2), block(1), false, false}, // unreachable
		{at(3), block(0), true, true},
		{at(4), block(1), false, true},
		{at(5), block(0), false, true},
	} {
		m.events <- e
	}
	if last, err := m.awaitAll(t.Context(), 2); err != nil || !last.Equal(at(5)) {
		t.Errorf("%v, %v", last, err)
	}
	close(m.events)
}
