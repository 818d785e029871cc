package doctor

import (
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"routed/config"
)

// BIRD is where the session with the local BIRD comes about.
type BIRD struct {
	Dial   []netip.AddrPort // we connect to it there
	Accept []netip.AddrPort // it connects to us there
}

// checkBIRD looks at the TCP side of the session with the local BIRD, without touching it.
func checkBIRD(h Host) []Check {
	const name = "bird"
	if h.Sockets.Err != nil {
		return []Check{unknown(name, h.Sockets.Err, "look at them with `ss -tnap`")}
	}
	var checks []Check
	for _, at := range h.BIRD.Dial {
		checks = append(checks, h.dialledBIRD(name, at))
	}
	for _, at := range h.BIRD.Accept {
		checks = append(checks, h.acceptedBIRD(name, at))
	}
	return checks
}

func (h Host) dialledBIRD(name string, at netip.AddrPort) Check {
	// The daemon calls the node's own address by loopback, whichever of them is written; see birdPeers in cmd/routed.
	connected := func(s Socket) bool {
		return !s.Listens && s.Remote.Port() == at.Port() && (s.Remote.Addr() == at.Addr() || s.Local.Addr().IsLoopback() && h.isOwn(s.Remote.Addr()))
	}
	switch {
	case slices.ContainsFunc(h.Sockets.Value, connected):
		return good(name, "a connection with BIRD at %s stands", at)
	case slices.ContainsFunc(h.Sockets.Value, func(s Socket) bool { return s.serves(at) }):
		return good(name, "BIRD listens at %s, and nobody is connected", at)
	}
	return Check{
		Name: name, Result: Failed, Why: fmt.Sprintf("nothing listens at %s (bird.dial): the daemon cannot learn this node's blocks", at),
		Fix: "see that calico-node runs on this node, and where its BIRD listens (`ss -ltnp`)",
	}
}

func (h Host) acceptedBIRD(name string, at netip.AddrPort) Check {
	connected := func(s Socket) bool {
		fromBIRD := s.Local == at && (s.Remote.Addr() == at.Addr() || h.isOwn(s.Remote.Addr()))
		toBIRD := s.Local.Addr() == at.Addr() && s.Remote.Port() == config.BGPPort && h.isOwn(s.Remote.Addr())
		return !s.Listens && (fromBIRD || toBIRD) // the daemon dials all the same: BIRD may retry minutes later
	}
	switch {
	case slices.ContainsFunc(h.Sockets.Value, connected):
		return good(name, "BIRD is connected with %s", at)
	case slices.ContainsFunc(h.Sockets.Value, func(s Socket) bool { return s.serves(at) }):
		return Check{
			Name: name, Result: Warning, Why: fmt.Sprintf("BIRD is not connected to %s (bird.accept)", at),
			Fix: "see that calico-node runs on this node, and that its BGPPeer for routed has that address and port",
		}
	}
	return Check{
		Name: name, Result: Warning, Why: fmt.Sprintf("nothing listens at %s (bird.accept), so that BIRD cannot connect", at),
		Fix: "start routed: systemctl start routed",
	}
}

func (h Host) isOwn(a netip.Addr) bool { return slices.Contains(h.OwnAddresses, a) }

// checkReannounced looks for routes to remote pods that BIRD got from elsewhere, or takes from main and tells the other
// nodes of this cluster: its kernel protocol learns.
func checkReannounced(h Host) []Check {
	const name = "bird-announces"
	if h.Strays.Err != nil {
		return []Check{unknown(name, h.Strays.Err, "look at main with `ip route` and `ip -6 route`")}
	}
	var checks []Check
	var learned []string
	for _, s := range h.Strays.Value {
		if s.Protocol != unix.RTPROT_BIRD {
			learned = append(learned, s.Text)
			continue
		}
		checks = append(checks, Check{
			Name: name, Result: Warning,
			Why: fmt.Sprintf("BIRD has %s: another node of this cluster announces pods of a remote one", s.Text),
			Fix: "see on that node what is in main (`routed doctor`), and give the remote range an IPPool with disableBGPExport: true, which `routed calico` prints",
		})
	}
	if len(learned) > 0 {
		checks = append(checks, Check{
			Name: name, Result: Warning,
			Why: fmt.Sprintf("BIRD learns what others put into main, and may tell this cluster's nodes of %d routes to remote pods, such as %s",
				len(learned), learned[0]),
			Fix: "remove them as hand-made-routes says; until then give the remote range an IPPool with disableBGPExport: true, which `routed calico` prints",
		})
	}
	if len(checks) == 0 && h.Owned.Table == tableMain {
		checks = []Check{{
			Name: name, Result: Warning, Why: "kernel.table is main, from which BIRD learns: it may tell this cluster's nodes of remote pods",
			Fix: "use a table of routed's own (kernel.table), or give each remote range an IPPool with disableBGPExport: true, which `routed calico` prints",
		}}
	}
	if len(checks) == 0 {
		checks = []Check{good(name, "BIRD has no route to remote pods, and none in main to learn")}
	}
	return checks
}
