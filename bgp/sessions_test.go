package bgp

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"routed/peering"

	"github.com/osrg/gobgp/v4/pkg/apiutil"
	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

func event(state bgp.FSMState, why string) *apiutil.WatchEventMessage_PeerEvent {
	ev := &apiutil.WatchEventMessage_PeerEvent{}
	ev.Peer.State = apiutil.PeerState{
		NeighborAddress: addr("192.0.2.2"), SessionState: state, DisconnectMessage: why,
		RemoteCap: []bgp.ParameterCapabilityInterface{bgp.NewCapMultiProtocol(bgp.RF_IPv6_UC)},
	}
	return ev
}

func TestRemedies(t *testing.T) {
	now := time.Now()
	up := func(t *testing.T) *sessions {
		t.Helper()
		ss := newSessions()
		ss.configure(peering.Peer{Addr: addr("192.0.2.2"), Role: peering.RoleRemote, DialPort: 1790, Families: both})
		if u, _ := ss.changed(event(bgp.BGP_FSM_ESTABLISHED, "x"), false, now); u.Session != peering.SessionUp || u.Families != peering.IPv6 {
			t.Fatalf("update %+v", u)
		}
		return ss
	}
	peer := addr("192.0.2.2")
	want := func(t *testing.T, ss *sessions, after time.Duration, r remedy) {
		t.Helper()
		if got := ss.ailing(now.Add(after))[peer]; got != r {
			t.Errorf("after %s: remedy %d, want %d", after, got, r)
		}
	}
	t.Run("a loss is acted on at once, the next one soon after is not", func(t *testing.T) {
		ss := up(t)
		ss.changed(event(bgp.BGP_FSM_IDLE, "read-failed"), false, now)
		want(t, ss, 0, remedyRestart)
		want(t, ss, 0, remedyNone)
		ss.changed(event(bgp.BGP_FSM_ESTABLISHED, "x"), false, now.Add(time.Second))
		ss.changed(event(bgp.BGP_FSM_IDLE, "read-failed"), false, now.Add(2*time.Second))
		want(t, ss, 2*time.Second+revivePause-1, remedyNone)
		want(t, ss, 2*time.Second+revivePause, remedyRestart)
	})
	t.Run("silent in OpenConfirm", func(t *testing.T) {
		ss := up(t)
		ss.changed(event(bgp.BGP_FSM_IDLE, "read-failed"), false, now)
		want(t, ss, 0, remedyRestart)
		ss.changed(event(bgp.BGP_FSM_OPENCONFIRM, "x"), false, now.Add(time.Second))
		want(t, ss, stuckAfter, remedyNone)
		want(t, ss, time.Second+stuckAfter, remedyNone)
		wantIgnored(t, ss, now.Add(time.Second+stuckAfter), true)
		want(t, ss, time.Second+stuckAfter+turnAway, remedyDial)
		wantIgnored(t, ss, now.Add(time.Second+stuckAfter+ignoreFirst), false)
	})
	t.Run("silent in OpenSent", func(t *testing.T) {
		ss := up(t)
		ss.changed(event(bgp.BGP_FSM_IDLE, "read-failed"), false, now)
		want(t, ss, 0, remedyRestart)
		ss.changed(event(bgp.BGP_FSM_OPENSENT, "x"), false, now)
		want(t, ss, muteLimit-1, remedyNone)
		want(t, ss, muteLimit, remedyCut)
		want(t, ss, muteLimit, remedyNone)
		ss.changed(event(bgp.BGP_FSM_IDLE, "read-failed"), false, now.Add(muteLimit))
		wantIgnored(t, ss, now.Add(muteLimit), true)
		want(t, ss, muteLimit+turnAway, remedyDial)
	})
	t.Run("attempts come to nothing", func(t *testing.T) {
		ss := up(t)
		ss.changed(event(bgp.BGP_FSM_IDLE, "read-failed"), false, now)
		want(t, ss, 0, remedyRestart)
		fail := func(after time.Duration) {
			ss.changed(event(bgp.BGP_FSM_OPENSENT, "x"), false, now.Add(after))
			ss.changed(event(bgp.BGP_FSM_IDLE, "read-failed"), false, now.Add(after))
		}
		fail(0)
		want(t, ss, 0, remedyRestart)
		wantIgnored(t, ss, now, false)
		fail(0)
		want(t, ss, 0, remedyNone)
		wantIgnored(t, ss, now, true)
		want(t, ss, turnAway, remedyDial)
		ss.changed(event(bgp.BGP_FSM_ESTABLISHED, "x"), false, now.Add(time.Second))
		wantIgnored(t, ss, now.Add(time.Second), false)
		ss.changed(event(bgp.BGP_FSM_IDLE, "read-failed"), false, now.Add(intrudersStay))
		wantIgnored(t, ss, now.Add(intrudersStay), true) // they may still be there
		ss.changed(event(bgp.BGP_FSM_ESTABLISHED, "x"), false, now.Add(intrudersStay))
		wantIgnored(t, ss, now.Add(intrudersStay), false)
		later := intrudersStay + intrudersStay + time.Second
		ss.changed(event(bgp.BGP_FSM_IDLE, "read-failed"), false, now.Add(later))
		fail(later)
		wantIgnored(t, ss, now.Add(later), false) // counted anew
	})
	t.Run("BIRD takes its time, and is never ignored", func(t *testing.T) {
		ss := newSessions()
		ss.configure(peering.Peer{Addr: peer, Role: peering.RoleBIRD, DialPort: 179, Families: both})
		for _, state := range []bgp.FSMState{bgp.BGP_FSM_OPENSENT, bgp.BGP_FSM_IDLE, bgp.BGP_FSM_OPENSENT, bgp.BGP_FSM_IDLE, bgp.BGP_FSM_OPENCONFIRM} {
			ss.changed(event(state, "x"), false, now)
		}
		want(t, ss, birdStuckAfter-1, remedyNone)
		want(t, ss, birdStuckAfter, remedyRestart)
		wantIgnored(t, ss, now.Add(birdStuckAfter), false)
	})
	t.Run("nobody dials", func(t *testing.T) {
		ss := up(t)
		ss.changed(event(bgp.BGP_FSM_IDLE, "read-failed"), false, now)
		want(t, ss, 0, remedyRestart)
		ss.opened(peer, false)
		ss.changed(event(bgp.BGP_FSM_ACTIVE, "x"), false, now)
		want(t, ss, dialLate-time.Second, remedyNone)
		want(t, ss, dialLate, remedyDial)
		ss.opened(peer, true)
		want(t, ss, 10*dialLate, remedyNone)
	})
	t.Run("removed", func(t *testing.T) {
		ss := up(t)
		ss.leave(peer, "no longer a peer")
		u, _ := ss.changed(event(bgp.BGP_FSM_IDLE, ""), false, now)
		if u.Session != peering.SessionDown || u.Reason != "closed by us: no longer a peer" {
			t.Errorf("update %+v", u)
		}
		if u, _ := ss.changed(event(bgp.BGP_FSM_ESTABLISHED, "x"), false, now); u.Session != peering.SessionSame {
			t.Errorf("an echo of a removed session: %+v", u)
		}
	})
}

func wantIgnored(t *testing.T, ss *sessions, at time.Time, want bool) {
	t.Helper()
	if got := len(ss.ignored(at)) == 1; got != want {
		t.Errorf("ignored: %v, want %v", got, want)
	}
}

func TestLogIsBoundedAndTame(t *testing.T) {
	var out bytes.Buffer
	h := slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo})
	ss := newSessions()
	peer := addr("192.0.2.2")
	ss.configure(peering.Peer{Addr: peer})
	log := slog.New(newLogHandler(h, ss)).With(slog.String("Topic", "Peer"), slog.String("Key", peer.String()))
	for range 100 {
		log.Warn("something odd", slog.String("State", "x"))
		log.Info("Peer Down")
		log.Debug("failed to connect", slog.String("Error", "connection refused"))
		log.Warn("Closed an accepted connection")
	}
	if n := strings.Count(out.String(), "\n"); n != 1 || !strings.Contains(out.String(), "peer=192.0.2.2") {
		t.Errorf("%d lines:\n%s", n, out.String())
	}
	if got := ss.m[peer].last.text; got != "connection refused" {
		t.Errorf("cause %q", got)
	}
	b := &logBound{m: map[string]*bounded{}}
	now := time.Now()
	for i, want := range []struct {
		after      time.Duration
		suppressed int
		ok         bool
	}{{0, 0, true}, {time.Second, 0, false}, {2 * time.Second, 0, false}, {logEvery, 2, true}, {2 * logEvery, 0, true}} {
		if n, ok := b.admit("m", now.Add(want.after)); n != want.suppressed || ok != want.ok {
			t.Errorf("%d: %d %v", i, n, ok)
		}
	}
}

func TestWhoDialsFirst(t *testing.T) {
	for _, tc := range []struct {
		role        peering.Role
		local, peer string
		want        bool
	}{
		{peering.RoleRemote, "192.0.2.1", "192.0.2.2", true},
		{peering.RoleRemote, "192.0.2.2", "192.0.2.1", false},
		{peering.RoleBIRD, "192.0.2.2", "192.0.2.1", true},
		{peering.RoleReflector, "192.0.2.2", "192.0.2.1", true},
		{peering.RoleReflector, "192.0.2.1", "192.0.2.2", true},
	} {
		p := peering.Peer{Role: tc.role, Local: addr(tc.local), Addr: addr(tc.peer)}
		if got := dialsFirst(p); got != tc.want {
			t.Errorf("%s from %s to %s: %v, want %v", tc.role, tc.local, tc.peer, got, tc.want)
		}
	}
}

func TestReflectorsAreToldOurBlocks(t *testing.T) {
	c := advertisedCount{ipv4: 3, ipv6: 2}
	for role, want := range map[peering.Role]int{peering.RoleRemote: 3, peering.RoleReflector: 3, peering.RoleBIRD: 0} {
		if got := c.to(role, peering.IPv4); got != want {
			t.Errorf("%s is told %d blocks, want %d", role, got, want)
		}
	}
}
