package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func fakeRouted(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "routed")
	if err := os.WriteFile(path, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOptions(t *testing.T) {
	o, err := parseOptions([]string{"-routed", fakeRouted(t)})
	if err != nil || o.routes != 100_000 || o.runs != 3 || o.idle != time.Minute || len(o.parts) != 6 || len(o.chosen()) != 4 {
		t.Errorf("%+v, %v", o, err)
	}
	o, err = parseOptions([]string{"-routed", fakeRouted(t), "-quick", "-runs", "2", "-parts", "link,flush", "-competitors", "frr,routed"})
	if err != nil || o.routes != 10_000 || o.runs != 2 || o.has(partIdle) || !o.has(partLink) {
		t.Errorf("%+v, %v", o, err)
	}
	if !slices.Equal(o.sessions, []int{200}) {
		t.Errorf("sessions %v, want those of -quick", o.sessions)
	}
	if c := o.chosen(); len(c) != 2 || c[0].id != "routed" || c[1].id != "frr" {
		t.Errorf("chosen: %+v", c)
	}
}

func TestOptionsRefused(t *testing.T) {
	routed := fakeRouted(t)
	for want, args := range map[string]string{
		`"speed" is not one of`:  "-parts speed",
		`"quagga" is not one of`: "-competitors quagga",
		"-runs: 0":               "-runs 0",
		"-routes: 300000":        "-routes 300000",
		"-few 1000 is not less":  "-routes 1000",
		"-idle: 1ms":             "-idle 1ms",
		`-sessions: "0" is not`:  "-sessions 200,0",
		`unexpected ["more"]`:    "more",
		"`make build` makes one": "-routed /nonexistent/routed",
	} {
		_, err := parseOptions(append([]string{"-routed", routed}, strings.Fields(args)...))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", args, err, want)
		}
	}
}
