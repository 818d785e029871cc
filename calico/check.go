package calico

import (
	"fmt"
	"net/netip"

	"routed/config"
)

// Error is a key of the configuration that does not go with this version of Calico.
type Error struct {
	Key     string // such as bird.accept
	Problem string // what does not go, and what does
}

func (e *Error) Error() string { return e.Key + ": " + e.Problem }

// checkPeers refuses a way to BIRD that a BGPPeer of this version cannot express.
func checkPeers(cfg *config.Config, v Version) error {
	for _, a := range cfg.BIRD.Accept {
		switch {
		case !v.since(sincePeerPort):
			return &Error{"bird.accept", fmt.Sprintf("a BGPPeer of Calico %s has no port, so BIRD cannot dial routed (3.%d and newer can); "+
				"let routed dial BIRD instead: bird.dial: %s", v, sincePeerPort, netip.AddrPortFrom(loopback(a), config.BGPPort))}
		case !a.IsLoopback():
			return &Error{"bird.accept", fmt.Sprintf("one BGPPeer serves every node, and Calico makes no session with a node's own address; "+
				"have %s there, not %s", loopback(a), a)}
		}
	}
	for _, d := range cfg.BIRD.Dial {
		// routed dials from a loopback address when BIRD is at one, or at the node's own; see birdPeers in cmd/routed.
		if a := d.Addr(); !a.IsLoopback() && a != cfg.Node.AddressFor(a) {
			return &Error{"bird.dial", fmt.Sprintf("%s is not this node, and the BIRD of Calico is; have %s there", a, netip.AddrPortFrom(loopback(a), d.Port()))}
		}
	}
	if cfg.BIRD.Password.IsSet() && !v.since(sincePeerPort) {
		return &Error{"bird.password", fmt.Sprintf("a BGPPeer of Calico %s has no password (3.%d and newer have); leave it out", v, sincePeerPort)}
	}
	return nil
}

// checkTable refuses a table that BIRD would announce from.
func checkTable(cfg *config.Config, v Version) error {
	if cfg.Kernel.Table != config.TableMain || v.since(sinceDisableBGPExport) || len(cfg.Remotes) == 0 {
		return nil
	}
	return &Error{"kernel.table", fmt.Sprintf("in main, BIRD learns the routes to remote pods, and with Calico %s nothing keeps it from announcing them to "+
		"every node (disableBGPExport is there since 3.%d); leave the key out: table 1790 is routed's alone", v, sinceDisableBGPExport)}
}
