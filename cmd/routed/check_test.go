package main

import (
	"fmt"
	"strings"
	"testing"

	"routed/admin/text"
	"routed/config"
)

// meaning is what check prints.
func meaning(t *testing.T, cfg *config.Config) string {
	t.Helper()
	roster, err := resolve(t, cfg, seedHost())
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := text.Pairs(&out, text.Options{}, meaningOf("routed.yaml", cfg, roster, nil)); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestCheckSaysWhenAMeshIsTooLarge(t *testing.T) {
	nodes := func(n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf("9.113.%d.%d", i/200, i%200+1))
		}
		return "{addresses: [" + strings.Join(list, ", ") + "]}"
	}
	for _, tc := range []struct {
		n    int
		want string // in the warning; empty: there is none
	}{
		{3, ""},
		{meshComfort, ""},
		{meshComfort + 1, "each of 201 remote nodes takes some 20 MB"},
		{1000, "each of 1000 remote nodes takes some 100 MB"},
	} {
		out := meaning(t, parse(t, "{dial: 127.0.0.1:179}", nodes(tc.n)))
		if !strings.Contains(out, "routed.yaml is good") {
			t.Errorf("%d nodes: not good:\n%s", tc.n, out)
		}
		if warned := strings.Contains(out, "\nwarning "); warned != (tc.want != "") || !strings.Contains(out, tc.want) {
			t.Errorf("%d nodes: want %q as a warning:\n%s", tc.n, tc.want, out)
		}
	}
}

func TestCheckShowsReflectors(t *testing.T) {
	out := meaning(t, reflectedConfig(t))
	for _, want := range []string{
		"cluster-2: 2 reflectors, nodes inside 9.111.255.0/24, accepted inside 20.1.0.0/16",
		"9.111.255.251, port 179, AS 64512, directly connected",
		"8.8.0.9, port 1179, AS 64512, up to 16 hops away",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in:\n%s", want, out)
		}
	}
	if strings.Contains(out, "\nwarning ") {
		t.Errorf("two reflectors are no large mesh:\n%s", out)
	}
}

// On a terminal what check says is broken between words, and piped it is not.
func TestCheckFitsATerminal(t *testing.T) {
	cfg := reflectedConfig(t)
	roster, err := resolve(t, cfg, seedHost())
	if err != nil {
		t.Fatal(err)
	}
	var wrapped strings.Builder
	if err := text.Pairs(&wrapped, text.Options{Wrap: true}, meaningOf("routed.yaml", cfg, roster, nil)); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(wrapped.String()) {
		if len(line) > 81 {
			t.Errorf("%d columns: %s", len(line)-1, line)
		}
	}
	whole := meaning(t, cfg)
	if wrapped.String() == whole || strings.Join(strings.Fields(wrapped.String()), " ") != strings.Join(strings.Fields(whole), " ") {
		t.Errorf("the same words in other lines are wanted:\n%s\n%s", wrapped.String(), whole)
	}
}
