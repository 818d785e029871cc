// Package kernel is the only place that knows netlink: it makes the kernel's route table hold what is wanted and
// nothing else of ours, and puts back what others take away.
//
// It owns one route table, the rules that lead to it, and one route protocol number. It refuses to touch a route
// or rule of anybody else: a foreign route in the way is a conflict, reported and never overwritten. It knows
// nothing of BGP, peers or clusters.
package kernel
