package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"routed/admin"
)

// answering is a daemon that has one answer to every why.
type answering struct {
	admin.Source
	why admin.Why
}

func (a answering) Why(_ context.Context, address netip.Addr) (admin.Why, error) {
	a.why.Address = address
	return a.why, nil
}

func TestWhyExits(t *testing.T) {
	dir := t.TempDir()
	serve := func(name string, state admin.StepState) string {
		socket := filepath.Join(dir, name)
		l, err := admin.Listen(t.Context(), socket)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		source := answering{why: admin.Why{Steps: []admin.Step{{Step: "block", State: state, Why: "as it is"}}}}
		go func() { done <- admin.NewServer(socket, source, slog.New(slog.DiscardHandler)).Serve(ctx, l) }()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		return socket
	}
	good, broken := serve("good", admin.StepGood), serve("broken", admin.StepBroken)
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"routed", []string{"--socket", good, "20.1.47.150"}, 0, "20.1.47.150 from"},
		{"not routed", []string{"--socket", broken, "20.1.47.150"}, exitFailed, "BROKEN block"},
		{"not routed, in JSON", []string{"--socket", broken, "20.1.47.150", "-o", "json"}, exitFailed, `"routed": false`},
		{"no daemon", []string{"--socket", filepath.Join(dir, "none"), "20.1.47.150"}, exitUnreachable, "not reachable"},
		{"no address", []string{"--socket", good, "gyliu-ubuntu-1"}, exitFailed, `"gyliu-ubuntu-1" is no IP address`},
	} {
		var out bytes.Buffer
		code := execute(t.Context(), append([]string{"why"}, c.args...), &out, &out)
		if code != c.code || !strings.Contains(out.String(), c.says) || c.args[len(c.args)-1] == "json" && !json.Valid(out.Bytes()) {
			t.Errorf("%s: exits %d, want %d and %q in:\n%s", c.name, code, c.code, c.says, out.String())
		}
	}
}
