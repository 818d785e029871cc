// Command bench measures routed beside BIRD 1.6, BIRD 2 and FRR, in one run on one machine: learning a table over BGP
// into the kernel, repairing it, one more block, a link that goes down and up, removing it all, and doing nothing.
//
// Every competitor gets the same: a network namespace of its own, one link, and one iBGP session with a sender of ours,
// fast enough never to be what is waited for. What scale costs is measured likewise, with many neighbours: sessions with
// up to thousands of simulated nodes, and two route reflectors that have all routes each. Everything happens inside the
// lab's sandbox and is gone with it. Times never decide the exit status; it is not 0 only when something could not be
// measured.
package main
