package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"routed/admin"
)

// answering is a daemon that has one answer to every question of a kind.
type answering struct {
	admin.Source
	why    admin.Why
	status admin.Status
}

func (a answering) Status(context.Context) (admin.Status, error) { return a.status, nil }

func (a answering) Why(_ context.Context, address netip.Addr) (admin.Why, error) {
	a.why.Address = address
	return a.why, nil
}

// serveAdmin serves a source until the test ends, and returns the socket.
func serveAdmin(t *testing.T, source admin.Source) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "admin") //nolint:usetesting // short: socket paths end at 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "s")
	l, err := admin.Listen(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- admin.NewServer(socket, source, slog.New(slog.DiscardHandler)).Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	return socket
}

func TestWhyExits(t *testing.T) {
	serve := func(state admin.StepState) string {
		return serveAdmin(t, answering{why: admin.Why{Steps: []admin.Step{{Step: "block", State: state, Why: "as it is"}}}})
	}
	good, broken := serve(admin.StepGood), serve(admin.StepBroken)
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"routed", []string{"--socket", good, "20.1.47.150"}, 0, "20.1.47.150 from"},
		{"not routed", []string{"--socket", broken, "20.1.47.150"}, exitFailed, "BROKEN block"},
		{"not routed, in JSON", []string{"--socket", broken, "20.1.47.150", "-o", "json"}, exitFailed, `"routed": false`},
		{"no daemon", []string{"--socket", filepath.Join(t.TempDir(), "none"), "20.1.47.150"}, exitUnreachable, "not reachable"},
		{"no address", []string{"--socket", good, "gyliu-ubuntu-1"}, exitFailed, `"gyliu-ubuntu-1" is no IP address`},
	} {
		var out bytes.Buffer
		code := execute(t.Context(), append([]string{"why"}, c.args...), &out, &out)
		if code != c.code || !strings.Contains(out.String(), c.says) || c.args[len(c.args)-1] == "json" && !json.Valid(out.Bytes()) {
			t.Errorf("%s: exits %d, want %d and %q in:\n%s", c.name, code, c.code, c.says, out.String())
		}
	}
}
