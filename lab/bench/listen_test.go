package main

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRouteEvents(t *testing.T) {
	added := appendDeletion(nil, block(4), 1790, 114, 1, false)
	added[4] = unix.RTM_NEWROUTE
	added[unix.SizeofNlMsghdr+7] = unix.RTN_UNICAST
	unreachable := slices.Clone(added)
	unreachable[unix.SizeofNlMsghdr+7] = unix.RTN_UNREACHABLE
	link := slices.Clone(added)
	link[4] = unix.RTM_NEWLINK
	ipv6 := slices.Clone(added)
	ipv6[unix.SizeofNlMsghdr] = unix.AF_INET6
	var got []event
	take := func(e event) { got = append(got, e) }
	all := slices.Concat(added, link, unreachable, ipv6, appendDeletion(nil, block(5), 254, 12, 2, true))
	if err := routeEvents(all, at(1), take); err != nil {
		t.Fatal(err)
	}
	want := []event{{at(1), block(4), false, true}, {at(1), block(4), false, false}, {at(1), block(5), true, false}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if err := routeEvents(added[:len(added)-1], at(1), take); err == nil {
		t.Error("no error for a message that is cut off")
	}
}

func TestAttributeOfNonsense(t *testing.T) {
	for _, b := range [][]byte{nil, {1}, {0, 0, 1, 0}, {200, 0, 1, 0}, {8, 0, 2, 0, 1, 2, 3, 4}} {
		if v, ok := attribute(b, unix.RTA_DST); ok {
			t.Errorf("%v holds %v", b, v)
		}
	}
}
