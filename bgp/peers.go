package bgp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"routed/peering"

	"github.com/osrg/gobgp/v4/api"
)

const (
	// allowOwnAS makes GoBGP hand on paths that contain our AS: it would drop them unseen and leave the path they
	// replace in place; the import policy refuses them by name.
	allowOwnAS = 255

	// connectRetry is the pause between dials (RFC 4271 section 10, ConnectRetryTime), the shortest GoBGP allows; it
	// takes 75 to 100 % of it, also before the first.
	connectRetry = 2 * time.Second

	// restartTime goes with the graceful restart capability, where it means nothing without families. GoBGP would take the
	// hold time for it, and reset the session when that changes.
	restartTime = 90 // seconds

	minHoldTime     = 3 * time.Second // RFC 4271 section 4.2
	maxHoldTime     = 65535 * time.Second
	defaultHoldTime = 90 * time.Second
)

// setPeers removes, then adds: an address that changes its role is first gone.
func (e *engine) setPeers(ctx context.Context, peers []peering.Peer) error {
	var errs []error
	wanted := make(map[netip.Addr]peering.Peer, len(peers))
	keep := map[netip.Addr]bool{} // named, but not usable as given
	for _, p := range peers {
		if err := checkPeer(p); err != nil {
			errs = append(errs, fmt.Errorf("peer %s: %w", p.Addr, err))
			keep[p.Addr] = true
			continue
		}
		if _, twice := wanted[p.Addr]; twice {
			errs = append(errs, fmt.Errorf("peer %s: named twice, the first is used", p.Addr))
			continue
		}
		wanted[p.Addr] = p
	}
	for addr, old := range e.peers {
		p, ok := wanted[addr]
		switch {
		case !ok && !keep[addr]:
			errs = append(errs, e.removePeer(ctx, old, "no longer a peer"))
			e.listeners.removeKey(addr)
		case ok && sessionOf(p) != sessionOf(old):
			errs = append(errs, e.removePeer(ctx, old, whatChanged(old, p)))
			if !p.Password.IsSet() { // else it is replaced: there is no moment without
				e.listeners.removeKey(addr)
			}
		case ok:
			e.peers[addr] = p
			e.sessions.configure(p)
			if p.HoldTime != old.HoldTime && !e.refused[addr] {
				errs = append(errs, e.setTimers(ctx, p))
			}
		}
	}
	e.keys = keysOnOneSocket(maps.Values(wanted))
	for _, addr := range slices.SortedFunc(maps.Keys(wanted), netip.Addr.Compare) { // when keys are refused, the same ones
		switch _, have := e.peers[addr]; {
		case !have:
			errs = append(errs, e.addPeer(ctx, wanted[addr]))
		case e.refused[addr]: // there may be room for its key now
			errs = append(errs, e.open(ctx, wanted[addr], dialsFirst(wanted[addr])))
		}
	}
	errs = append(errs, e.listeners.limitHops(maps.Values(e.peers)))
	return errors.Join(errs...)
}

// whatChanged says why a session has to be a new one.
func whatChanged(old, now peering.Peer) string {
	passwordKept := now
	passwordKept.Password = old.Password
	if sessionOf(passwordKept) == sessionOf(old) {
		return "its password changed"
	}
	return "its configuration changed"
}

// sessionOf keeps of a peer what its session depends on. A hold time is for the next one.
func sessionOf(p peering.Peer) peering.Peer {
	p.Name, p.Cluster, p.HoldTime, p.Other = "", "", 0, netip.Addr{}
	return p
}

func checkPeer(p peering.Peer) error {
	switch {
	case !p.Addr.IsValid() || p.Addr.Is4In6() || p.Addr.IsUnspecified():
		return errors.New("not a usable peer address")
	case p.Role != peering.RoleBIRD && !p.Role.Remote():
		return fmt.Errorf("unknown role %d", p.Role)
	case p.ASN == 0:
		return errors.New("AS number 0 is reserved (RFC 7607)")
	case !p.Local.IsValid() || p.Local.Is4In6() || p.Local.Is4() != p.Addr.Is4():
		return fmt.Errorf("local address %s is not of the peer's family", p.Local)
	case p.Families == 0 || !(peering.IPv4 | peering.IPv6).Has(p.Families):
		return fmt.Errorf("families %s: want ipv4, ipv6 or both", p.Families)
	case p.Role.Remote() && p.MaxHops == 0:
		return errors.New("a remote peer is at least one hop away (MaxHops 0)")
	case len(p.Password.Secret()) > maxPassword:
		return fmt.Errorf("a password of %d bytes: want at most %d (TCP_MD5SIG_MAXKEYLEN)", len(p.Password.Secret()), maxPassword)
	case p.HoldTime != 0 && (p.HoldTime < minHoldTime || p.HoldTime > maxHoldTime):
		return fmt.Errorf("hold time %s: want %s to %s, or 0 for %s", p.HoldTime, minHoldTime, maxHoldTime, defaultHoldTime)
	}
	return nil
}

func (e *engine) addPeer(ctx context.Context, p peering.Peer) error {
	if p.Role == peering.RoleBIRD {
		if err := e.addToBIRDSet(ctx, p.Addr); err != nil {
			return err
		}
	}
	e.sessions.configure(p)
	if err := e.open(ctx, p, dialsFirst(p)); err != nil {
		e.sessions.forget(p.Addr)
		return err
	}
	e.peers[p.Addr] = p
	return nil
}

// setTimers tells GoBGP a hold time to propose from the next session on; the present one goes on with what it negotiated.
func (e *engine) setTimers(ctx context.Context, p peering.Peer) error {
	n := e.neighbor(p, e.sessions.isDialing(p.Addr))
	if _, err := e.srv.UpdatePeer(ctx, &api.UpdatePeerRequest{Peer: n}); err != nil {
		return fmt.Errorf("set the timers of %s: %w", p.Addr, err)
	}
	return nil
}

// open gives the peer a state machine: one that dials, if there is a port to dial, or one that only listens. A peer whose
// key the kernel refuses gets none; that is no error of the list of peers, and is tried again.
func (e *engine) open(ctx context.Context, p peering.Peer, dial bool) error {
	if refusal := e.protect(p); refusal != "" {
		e.refuse(ctx, p, refusal)
		return nil
	}
	dial = dial && p.DialPort != 0
	e.sessions.opened(p.Addr, dial)
	if err := e.srv.AddPeer(ctx, &api.AddPeerRequest{Peer: e.neighbor(p, dial)}); err != nil {
		return fmt.Errorf("add peer %s: %w", p.Addr, err)
	}
	if err := e.adjRIBs.drop(p.Addr); err != nil {
		return err
	}
	if refusal := e.sessions.keyRefusal(p.Addr); refusal != "" {
		err := e.close(ctx, p.Addr)
		e.refuse(ctx, p, refusal)
		return err
	}
	delete(e.refused, p.Addr)
	return nil
}

// close takes the peer's state machine away. One that was refused has none.
func (e *engine) close(ctx context.Context, addr netip.Addr) error {
	if e.refused[addr] {
		return nil
	}
	if err := e.srv.DeletePeer(ctx, &api.DeletePeerRequest{Address: addr.String()}); err != nil {
		return fmt.Errorf("remove peer %s: %w", addr, err)
	}
	return nil
}

func (e *engine) removePeer(ctx context.Context, p peering.Peer, why string) error {
	e.sessions.leave(p.Addr, why)
	delete(e.peers, p.Addr)
	if err := e.close(ctx, p.Addr); err != nil {
		return err
	}
	if e.refused[p.Addr] {
		delete(e.refused, p.Addr)
		e.sessions.forget(p.Addr) // GoBGP has nothing to say of it
	}
	if p.Role == peering.RoleBIRD {
		return e.removeFromBIRDSet(ctx, p.Addr)
	}
	return nil
}

// neighbor is a peer as GoBGP wants it.
func (e *engine) neighbor(p peering.Peer, dial bool) *api.Peer {
	hold := p.HoldTime.Truncate(time.Second)
	if hold == 0 {
		hold = defaultHoldTime
	}
	n := &api.Peer{
		Conf: &api.PeerConf{
			NeighborAddress: p.Addr.String(),
			PeerAsn:         p.ASN,
			AuthPassword:    p.Password.Secret(),
			AllowOwnAsn:     allowOwnAS,
		},
		Transport: &api.Transport{
			LocalAddress: p.Local.String(),
			RemotePort:   uint32(p.DialPort),
			PassiveMode:  !dial,
		},
		Timers: &api.Timers{Config: &api.TimersConfig{
			HoldTime:               uint64(hold.Seconds()),
			KeepaliveInterval:      uint64(keepalive(p.Role, hold).Seconds()),
			ConnectRetry:           uint64(connectRetry.Seconds()),
			IdleHoldTimeAfterReset: 1,
		}},
	}
	limitHops(n, p, e.cfg.ASN)
	for _, f := range p.Families.List() {
		n.AfiSafis = append(n.AfiSafis, e.afiSafi(f))
	}
	if p.Role == peering.RoleReflector {
		holdForUs(n)
		return n
	}
	// No family in the capability (RFC 4724 section 3): between daemons it carries the End-of-RIB, which GoBGP does not
	// send without it, and asks nobody to hold routes for us. Peers of our kind do that anyway, and longer. BIRD gets
	// none: it sends its End-of-RIB regardless, and is told nothing that would have an end.
	if p.Role == peering.RoleRemote {
		n.GracefulRestart = &api.GracefulRestart{Enabled: true, HelperOnly: true, RestartTime: restartTime}
	}
	return n
}

// reflectorRestart is how long a reflector is asked to keep what it has from us while we are away: longer than a restart.
const reflectorRestart = 120 * time.Second

// holdForUs asks a reflector to keep our routes over a restart of ours (RFC 4724): it would else withdraw them from
// everybody at once. A daemon does that unasked.
func holdForUs(n *api.Peer) {
	n.GracefulRestart = &api.GracefulRestart{Enabled: true, RestartTime: uint32(reflectorRestart.Seconds())}
	for _, f := range n.GetAfiSafis() {
		f.MpGracefulRestart = &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: true}}
	}
}

// keepalive is a third of the hold time (RFC 4271 section 4.4), but a second towards BIRD: the event loop of BIRD 2.0 can
// go to sleep, for up to 3 s, on top of UPDATEs that it has just queued, and whatever arrives wakes it.
func keepalive(r peering.Role, hold time.Duration) time.Duration {
	if r == peering.RoleBIRD {
		return time.Second
	}
	return hold / 3
}

// afiSafi negotiates one family, without add-path and without GoBGP's prefix limit: it keeps nothing (see adjRIBs).
func (e *engine) afiSafi(f peering.Families) *api.AfiSafi {
	g := gobgpFamily(f)
	fam := &api.Family{Afi: api.Family_Afi(g.Afi()), Safi: api.Family_Safi(g.Safi())}
	return &api.AfiSafi{
		Config: &api.AfiSafiConfig{Family: fam, Enabled: true},
	}
}
