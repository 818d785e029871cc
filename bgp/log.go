package bgp

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
)

// logEvery is how often one message of GoBGP is let through above debug level.
const logEvery = 10 * time.Second

// logHandler is where GoBGP logs to. It takes the causes of lost sessions from lines that are the only place where
// GoBGP tells them, and passes on what a person should see: most of GoBGP's info lines repeat what Updates say, and
// some of its warnings are everyday life, so those go to debug; the rest is rate-bounded by message.
type logHandler struct {
	next     slog.Handler
	sessions *sessions
	bound    *logBound
	peer     netip.Addr // of a logger that GoBGP made for one peer
}

func newLogHandler(next slog.Handler, s *sessions) *logHandler {
	return &logHandler{next: next, sessions: s, bound: &logBound{m: map[string]*bounded{}}}
}

// Enabled admits every line of a peer's logger: whether it carries a cause is only seen in Handle. GoBGP's tables log
// two debug lines a path to the other logger; those are as dear as the reader wants them.
func (h *logHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.peer.IsValid() || level > slog.LevelDebug || h.next.Enabled(ctx, level)
}

// WithAttrs notes which peer a logger is for.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	for _, a := range attrs {
		if a.Key == "Key" {
			c.peer, _ = netip.ParseAddr(a.Value.String())
		}
	}
	return &c
}

// WithGroup is not used by GoBGP.
func (h *logHandler) WithGroup(string) slog.Handler { return h }

// Handle implements [slog.Handler].
func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "failed to set md5" {
		h.sessions.noteKeyFault(attr(r, "Key"), attr(r, "Err"))
	}
	if r.Message == "received update" {
		runtime.Gosched() // see the package comment, Queues
	}
	if h.peer.IsValid() {
		if text, fatal := causeIn(r); text != "" {
			h.sessions.note(h.peer, cause{text: text, at: r.Time, fatal: fatal})
		}
	}
	level := ourLevel(r)
	if !h.next.Enabled(ctx, level) {
		return nil
	}
	suppressed := 0
	if level > slog.LevelDebug {
		var ok bool
		if suppressed, ok = h.bound.admit(r.Message, r.Time); !ok {
			return nil
		}
	}
	out := slog.NewRecord(r.Time, level, "gobgp", r.PC)
	out.AddAttrs(slog.String("event", "gobgp"), slog.String("said", r.Message))
	if h.peer.IsValid() {
		out.AddAttrs(slog.String("peer", h.peer.String()))
	}
	if suppressed > 0 {
		out.AddAttrs(slog.Int("suppressed", suppressed))
	}
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "Topic" {
			out.AddAttrs(a)
		}
		return true
	})
	return h.next.Handle(ctx, out)
}

// ourLevel is what a line of GoBGP is worth to us.
func ourLevel(r slog.Record) slog.Level {
	switch r.Message {
	case "Can't find configuration for a new passive connection", "Mismatched local address":
		return slog.LevelInfo // somebody who is no peer, or a peer at the wrong address
	case "Closed an accepted connection", "accepted conn is closed to avoid be blocked", // both sides dial
		"graceful restart timer expired", "hold timer expired", "failed to send", // told by the session's end
		"failed to send keepalive on outgoing connection",
		"failed to stop BGP server": // engine.stop has stopped it
		return slog.LevelDebug
	}
	if r.Level <= slog.LevelInfo {
		return slog.LevelDebug
	}
	return r.Level
}

// causeIn finds what went wrong in a line of a peer's logger, and whether it ends an established session; empty:
// nothing went wrong.
func causeIn(r slog.Record) (text string, fatal bool) {
	switch r.Message {
	case "failed to connect":
		return attr(r, "Error"), false
	case "the received Update message was treated as withdraw":
		return "malformed UPDATE treated as withdrawal (RFC 7606): " + attr(r, "Error"), false
	case "hold timer expired":
		return "hold timer expired", true
	case "failed to send":
		err := attr(r, "Data")
		if strings.Contains(err, net.ErrClosed.Error()) { // by ourselves, for a reason that has been told
			return "", false
		}
		return "connection lost while sending: " + err, true
	case "received notification":
		return "received " + notification(r), true
	case "sent notification":
		return "sent " + notification(r), true
	case "Session will be reset due to malformed BGP Header", "Session will be reset due to malformed BGP message",
		"Session will be reset due to malformed BGP update message":
		return "malformed message: " + attr(r, "Error"), true
	default:
		return "", false
	}
}

// notification names the codes of a NOTIFICATION and what the peer's operator says with it (RFC 9003).
func notification(r slog.Record) string {
	var code, subcode int64
	var said string
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "Code":
			code = a.Value.Int64()
		case "Subcode":
			subcode = a.Value.Int64()
		case "Communicated-Reason":
			said = a.Value.String()
		}
		return true
	})
	text := fmt.Sprintf("NOTIFICATION: %s", bgp.NewNotificationErrorCode(uint8(code), uint8(subcode)))
	if said != "" {
		text += fmt.Sprintf(" %q", said)
	}
	return text
}

func attr(r slog.Record, key string) string {
	var v string
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == key {
			v = a.Value.String()
			return false
		}
		return true
	})
	return v
}

// logBound lets one line per message through in logEvery. GoBGP's messages are constants, so it stays small.
type logBound struct {
	mu sync.Mutex
	m  map[string]*bounded
}

type bounded struct {
	last       time.Time
	suppressed int
}

// admit tells whether a line may pass, and how many like it did not since the last that did.
func (b *logBound) admit(message string, now time.Time) (suppressed int, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.m[message]
	if e == nil {
		b.m[message] = &bounded{last: now}
		return 0, true
	}
	if now.Sub(e.last) < logEvery {
		e.suppressed++
		return 0, false
	}
	suppressed, e.suppressed, e.last = e.suppressed, 0, now
	return suppressed, true
}
