package bgp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"

	"routed/peering"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"
)

// engine is a running GoBGP server and what we told it. One goroutine owns it.
type engine struct {
	cfg       Config
	log       *slog.Logger
	srv       *server.BgpServer
	sessions  *sessions
	stopWatch context.CancelFunc
	listeners listeners
	adjRIBs   adjRIBs

	peers      map[netip.Addr]peering.Peer
	refused    map[netip.Addr]bool // of peers: GoBGP does not have them, since the kernel refused their key
	keys       int                 // TCP MD5 keys wanted on one listening socket
	ignored    []netip.Addr        // by the listeners, at present
	advertised map[netip.Prefix]struct{}
}

// startEngine starts GoBGP: first the table and the listeners, then the policies, then the watcher. Nothing is
// accepted before there are peers, so nothing can slip past the policies or the watcher. The gRPC API stays off.
func startEngine(ctx context.Context, cfg Config, w *watcher) (*engine, error) {
	var level slog.LevelVar
	level.Set(slog.LevelDebug) // logHandler decides, and takes causes from debug lines
	srv := server.NewBgpServer(server.LoggerOption(slog.New(newLogHandler(w.log.Handler(), w.sessions)), &level))
	go srv.Serve() // ends with StopBgp, in stop
	watchCtx, stopWatch := context.WithCancel(context.WithoutCancel(ctx))
	e := &engine{
		cfg: cfg, log: w.log, srv: srv, sessions: w.sessions, stopWatch: stopWatch,
		peers: map[netip.Addr]peering.Peer{}, refused: map[netip.Addr]bool{}, advertised: map[netip.Prefix]struct{}{},
	}
	if err := e.begin(ctx, watchCtx, w); err != nil {
		e.stop(ctx)
		return nil, err
	}
	return e, nil
}

// begin brings GoBGP up; the watcher sends until ctx ends and is dismantled when watchCtx does.
func (e *engine) begin(ctx, watchCtx context.Context, w *watcher) error {
	if err := e.srv.StartBgp(ctx, &api.StartBgpRequest{Global: e.global()}); err != nil {
		return fmt.Errorf("start BGP on %v port %d: %w", e.cfg.Listen, e.cfg.Port, err)
	}
	var err error
	if e.adjRIBs, err = findAdjRIBs(e.srv); err != nil {
		return err
	}
	if e.listeners, err = openListeners(e.cfg.Listen, e.cfg.Port); err != nil {
		return err
	}
	w.unsigned = e.listeners.unsigned
	if err := e.denyByDefault(ctx); err != nil {
		return err
	}
	err = e.srv.WatchEvent(watchCtx, w.callbacks(ctx),
		server.WatchPeer(), server.WatchUpdate(true, "", ""), server.WatchEor(true))
	if err != nil {
		return fmt.Errorf("watch the Adj-RIB-In: %w", err)
	}
	return nil
}

func (e *engine) global() *api.Global {
	g := &api.Global{
		Asn:        e.cfg.ASN,
		RouterId:   e.cfg.RouterID.String(),
		ListenPort: -1, // GoBGP: do not listen
		Families:   []uint32{0, 1},
	}
	for _, a := range e.cfg.Listen {
		g.ListenPort = int32(e.cfg.Port)
		g.ListenAddresses = append(g.ListenAddresses, a.String())
	}
	return g
}

// stop closes the sessions, the listeners and GoBGP's goroutines.
func (e *engine) stop(ctx context.Context) {
	ctx = context.WithoutCancel(ctx) // the end must be orderly although Run's context has ended
	e.listeners.close()
	if err := e.srv.StopBgp(ctx, &api.StopBgpRequest{AllowGracefulRestart: true}); err != nil {
		e.log.Warn("stopping bgp failed", "event", "bgp-stop-failed", "error", err)
	}
	e.stopWatch()
	e.srv.Stop() // StopBgp leaves the BFD server's goroutine; its complaint that BGP has stopped is filtered
}

// GoBGP's names of our policies and sets.
const (
	birdSet      = "bird"
	statementOwn = "own"
)

// denyByDefault sets the global policies. Import: only what we originate enters the table, so that nothing learned
// is ever a candidate for anything (the Adj-RIB-In watch sees it before). Export: nothing to BIRD, else only what we
// originate.
func (e *engine) denyByDefault(ctx context.Context) error {
	accept := &api.Actions{RouteAction: api.RouteAction_ROUTE_ACTION_ACCEPT}
	reject := &api.Actions{RouteAction: api.RouteAction_ROUTE_ACTION_REJECT}
	own := &api.Statement{
		Name:       statementOwn,
		Conditions: &api.Conditions{RouteType: api.Conditions_ROUTE_TYPE_LOCAL},
		Actions:    accept,
	}
	toBIRD := &api.Statement{
		Name:       "to-bird",
		Conditions: &api.Conditions{NeighborSet: &api.MatchSet{Type: api.MatchSet_TYPE_ANY, Name: birdSet}},
		Actions:    reject,
	}
	// GoBGP takes an empty neighbour set to match everybody; 255.255.255.255 is nobody.
	if err := e.addToBIRDSet(ctx, netip.AddrFrom4([4]byte{255, 255, 255, 255})); err != nil {
		return err
	}
	return errors.Join(
		e.assign(ctx, api.PolicyDirection_POLICY_DIRECTION_EXPORT,
			&api.AddPolicyRequest{Policy: &api.Policy{Name: "export", Statements: []*api.Statement{toBIRD, own}}}),
		e.assign(ctx, api.PolicyDirection_POLICY_DIRECTION_IMPORT,
			&api.AddPolicyRequest{
				ReferExistingStatements: true,
				Policy:                  &api.Policy{Name: "import", Statements: []*api.Statement{{Name: statementOwn}}},
			}),
	)
}

func (e *engine) assign(ctx context.Context, dir api.PolicyDirection, req *api.AddPolicyRequest) error {
	if err := e.srv.AddPolicy(ctx, req); err != nil {
		return fmt.Errorf("add the %s policy: %w", req.Policy.Name, err)
	}
	err := e.srv.SetPolicyAssignment(ctx, &api.SetPolicyAssignmentRequest{Assignment: &api.PolicyAssignment{
		Name:          "global",
		Direction:     dir,
		DefaultAction: api.RouteAction_ROUTE_ACTION_REJECT,
		Policies:      []*api.Policy{{Name: req.Policy.Name}},
	}})
	if err != nil {
		return fmt.Errorf("assign the %s policy: %w", req.Policy.Name, err)
	}
	return nil
}

func (e *engine) addToBIRDSet(ctx context.Context, a netip.Addr) error {
	if err := e.srv.AddDefinedSet(ctx, &api.AddDefinedSetRequest{DefinedSet: birdSetOf(a)}); err != nil {
		return fmt.Errorf("add %s to the peers that are announced nothing: %w", a, err)
	}
	return nil
}

func (e *engine) removeFromBIRDSet(ctx context.Context, a netip.Addr) error {
	if err := e.srv.DeleteDefinedSet(ctx, &api.DeleteDefinedSetRequest{DefinedSet: birdSetOf(a)}); err != nil {
		return fmt.Errorf("remove %s from the peers that are announced nothing: %w", a, err)
	}
	return nil
}

func birdSetOf(a netip.Addr) *api.DefinedSet {
	return &api.DefinedSet{
		DefinedType: api.DefinedType_DEFINED_TYPE_NEIGHBOR,
		Name:        birdSet,
		List:        []string{netip.PrefixFrom(a.WithZone(""), a.BitLen()).String()},
	}
}

func gobgpFamily(f peering.Families) bgp.Family {
	if f == peering.IPv6 {
		return bgp.RF_IPv6_UC
	}
	return bgp.RF_IPv4_UC
}

func familyOf(f bgp.Family) peering.Families {
	switch f {
	case bgp.RF_IPv4_UC:
		return peering.IPv4
	case bgp.RF_IPv6_UC:
		return peering.IPv6
	default:
		return 0
	}
}
