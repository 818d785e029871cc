// Package lab is a network of Kubernetes clusters in miniature: every node a network namespace with a BIRD of its own
// configured the way Calico does it, every pod a namespace behind its node, one bridge as the LAN. Tests, the demo and
// the benchmarks share it.
//
// It owns nothing on the host and leaves nothing there. [Enter] and [Main] re-execute the program inside private
// network, mount and PID namespaces that have no uplink; when the program ends, however it ends, the kernel kills every
// process and frees every namespace in there. It needs root, or a host that lets ordinary users have user namespaces.
//
// What it runs besides iproute2 (BIRD 1.6 and 2, FRR, ping) comes from the distribution's own packages, unpacked into a
// cache folder of the checkout and never installed; see [Tool].
//
// The topology is declared data: [Seed] is the two-cluster mesh of the founding document. [Build] makes a [Network] of
// it, whose [Node] values start and stop BIRD and routed and are asked what their kernel holds.
package lab
