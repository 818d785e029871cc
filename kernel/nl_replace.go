package kernel

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"
)

// NLM_F_REPLACE asks for no protocol: it overwrites whatever is in the place when the kernel gets to it, and between
// the event that told us of our route there and this moment somebody else may have seized the place. So a route is
// replaced by steps none of which can touch a foreign one, and without a moment in which the prefix has no route:
//
//	add the new route with the next worse metric (exclusive): the stand-in
//	delete the old route (ours by protocol, metric and next hop)
//	add the new route (exclusive)
//	delete the stand-in
//
// The first step goes out among the other operations of a batch. When the kernel refuses it for the route's own sake
// (its next hop is not on the link …), it would refuse the new route too, and the old one is left alone.

// standIn is the route that serves while the one in its place is exchanged.
func standIn(r FIBRoute) FIBRoute {
	r.Metric++
	return r
}

// finishReplacing does the other steps for those of a batch that are replacements.
func (n *Netlink) finishReplacing(ops []Op, errs []error) {
	var steps []Op
	var whose []int
	for i, o := range ops {
		// A stand-in whose place is taken is one that is not there, for a moment; the steps are safe without it.
		if o.Kind != OpReplaceRoute || errs[i] != nil && !errors.Is(errs[i], unix.EEXIST) {
			continue
		}
		whose = append(whose, i)
		steps = append(steps,
			Op{Kind: OpDeleteRoute, Table: o.Table, Route: o.Old},
			Op{Kind: OpAddRoute, Table: o.Table, Route: o.Route},
			Op{Kind: OpDeleteRoute, Table: o.Table, Route: standIn(o.Route)},
		)
	}
	results := make([]error, len(steps))
	for from := 0; from < len(steps); from += writeBatch {
		to := min(from+writeBatch, len(steps))
		n.applyBatch(steps[from:to], results[from:to])
	}
	for step := range slices.Chunk(results, 3) {
		i := whose[0]
		whose = whose[1:]
		// The old route may be gone by now; and only the add says whether the new one is there.
		if errs[i] = step[1]; step[0] != nil && !isGone(step[0]) {
			errs[i] = step[0]
		}
	}
}
