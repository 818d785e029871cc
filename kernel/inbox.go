package kernel

import (
	"net/netip"
	"slices"
)

// inbox is what the loop has not been told yet: lists of changes as they were set, and what came with them.
type inbox struct {
	lists       [][]Change
	count       int // of the changes in lists
	most        int // at this count those that a later one supersedes are looked for; 0: inboxRoom
	lookups     []netip.Prefix
	newLookups  bool
	allowDelete bool
}

// inboxRoom is how many changes wait before anybody looks whether they all count. The loop is told of changes faster
// than they are made, mostly, and then no more than a few lists wait.
const inboxRoom = 64 << 10

// add puts a list at the end. What waits is at most inboxRoom, or twice as much as there are prefixes in it.
func (in *inbox) add(changes []Change) {
	in.lists = append(in.lists, changes)
	if in.count += len(changes); in.count > max(in.most, inboxRoom) {
		in.squeeze()
	}
}

// squeeze leaves the last change of each prefix.
func (in *inbox) squeeze() {
	last := make(map[netip.Prefix]struct{}, in.count)
	kept := make([]Change, 0, in.count)
	for _, list := range slices.Backward(in.lists) {
		for _, c := range slices.Backward(list) {
			if _, superseded := last[c.Route.Prefix]; !superseded {
				last[c.Route.Prefix] = struct{}{}
				kept = append(kept, c)
			}
		}
	}
	slices.Reverse(kept)
	in.lists, in.count, in.most = [][]Change{kept}, len(kept), 2*len(kept)
}
