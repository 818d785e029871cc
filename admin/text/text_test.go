package text

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"routed/admin"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// load reads an answer of the daemon as package admin's tests fixed it.
func load[T any](t *testing.T, name string) T {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// pages renders every golden page.
func pages(t *testing.T, o Options) map[string]string {
	t.Helper()
	out := map[string]string{}
	write := func(name string, f func(b *bytes.Buffer) error) {
		var b bytes.Buffer
		if err := f(&b); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = b.String()
	}
	for _, name := range []string{"status_healthy", "status_degraded"} {
		s := load[admin.Status](t, name+".json")
		write(name, func(b *bytes.Buffer) error { return Status(b, s, o) })
	}
	starting := justStarted(load[admin.Status](t, "status_healthy.json"))
	write("status_starting", func(b *bytes.Buffer) error { return Status(b, starting, o) })
	for _, name := range []string{"why_good", "why_broken"} {
		answer := load[admin.Why](t, name+".json")
		write(name, func(b *bytes.Buffer) error { return Why(b, answer, o) })
	}
	write("peers", func(b *bytes.Buffer) error { return Peers(b, load[admin.Peers](t, "peers.json"), o) })
	write("routes", func(b *bytes.Buffer) error { return Routes(b, load[admin.Routes](t, "routes.json"), o) })
	write("status_ipv6", func(b *bytes.Buffer) error {
		return Status(b, longAddresses(t, load[admin.Status](t, "status_degraded.json")), o)
	})
	write("peers_ipv6", func(b *bytes.Buffer) error { return Peers(b, longAddresses(t, load[admin.Peers](t, "peers.json")), o) })
	write("routes_ipv6", func(b *bytes.Buffer) error {
		return Routes(b, longAddresses(t, load[admin.Routes](t, "routes.json")), o)
	})
	write("status_long", func(b *bytes.Buffer) error {
		return Status(b, longNames(t, load[admin.Status](t, "status_degraded.json")), o)
	})
	write("peers_long", func(b *bytes.Buffer) error { return Peers(b, longNames(t, load[admin.Peers](t, "peers.json")), o) })
	write("routes_long", func(b *bytes.Buffer) error { return Routes(b, longNames(t, load[admin.Routes](t, "routes.json")), o) })
	write("why_long", func(b *bytes.Buffer) error { return Why(b, longNames(t, load[admin.Why](t, "why_broken.json")), o) })
	write("routes_none", func(b *bytes.Buffer) error { return Routes(b, admin.Routes{}, o) })
	return out
}

// longNames gives clusters and nodes names such as clouds give them, and devices the longest there are, on top of [longAddresses].
func longNames[T any](t *testing.T, v T) T {
	t.Helper()
	return longAddresses(t, replaced(t, v, "cluster-1", "staging-us-east-1-kubernetes-platform-01",
		"cluster-2", "production-eu-central-1-kubernetes-platform-02", "worker-", "ip-10-0-132-201.eu-central-1.compute.internal-",
		`"eth0"`, `"bond0.1234-vlan"`, `"address":"9.111.255.21"`, `"address":"2001:db8:1234:5678:9abc:def0:1234:5621"`))
}

// longAddresses gives some of the addresses and blocks of an answer as many characters as they can have.
func longAddresses[T any](t *testing.T, v T) T {
	t.Helper()
	const far = "2001:db8:1234:5678:9abc:def0:1234:"
	return replaced(t, v,
		`"address":"9.111.255.21"`, `"address6":"`+far+`5621"`, `"9.111.255.155"`, `"`+far+`5655"`, `"9.111.255.77"`, `"`+far+`5677"`,
		"20.1.198.0/26", far+"5600/122", "10.1.77.64/26", far+"5640/122", "20.1.0.0/8", far+"0/112",
	)
}

// replaced has other words in the JSON of an answer.
func replaced[T any](t *testing.T, v T, words ...string) T {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer(words...).Replace(string(data))
	var out T
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// justStarted is the picture a moment after the start: nothing has been heard of anybody.
func justStarted(s admin.Status) admin.Status {
	var never time.Time
	s.Node.Started = s.At
	s.Mesh = admin.Mesh{ConvergeBefore: s.At.Add(time.Minute)}
	s.BIRD[0].Up, s.BIRD[0].State, s.BIRD[0].Since = false, "connect", never
	s.Clusters = nil
	s.Kernel.LastReconcile, s.Kernel.LastResync = admin.Reconcile{}, never
	s.Guard = admin.Guard{Mode: "auto", State: admin.GuardStarting}
	s.Problems = admin.Problems(s)
	return s
}

func TestGolden(t *testing.T) {
	for _, o := range []Options{{}, {Colour: true}} {
		for name, got := range pages(t, o) {
			file := filepath.Join("testdata", name+".golden")
			if o.Colour {
				file = filepath.Join("testdata", name+".colour.golden")
			}
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got; `go test -update` accepts it):\n%s", file, diff)
			}
		}
	}
}

var escapes = regexp.MustCompile(`\x1b\[[0-9;]*m`)

func TestColourChangesOnlyColour(t *testing.T) {
	coloured, bare := pages(t, Options{Colour: true}), pages(t, Options{})
	for name, page := range bare {
		if strings.Contains(page, "\x1b") {
			t.Errorf("%s is coloured although nobody asked", name)
		}
		if diff := cmp.Diff(page, escapes.ReplaceAllString(coloured[name], "")); diff != "" {
			t.Errorf("%s without its colours is another page:\n%s", name, diff)
		}
	}
	if !strings.Contains(coloured["status_degraded"], "\x1b[") {
		t.Error("no colour although asked")
	}
}

func TestFitsATerminal(t *testing.T) {
	for name, page := range pages(t, Options{}) {
		for line := range strings.Lines(page) {
			line = strings.TrimSuffix(line, "\n")
			if utf8.RuneCountInString(line) > 80 {
				t.Errorf("%s: %d columns: %s", name, utf8.RuneCountInString(line), line)
			}
			if strings.TrimRight(line, " ") != line {
				t.Errorf("%s: spaces at the end of %q", name, line)
			}
		}
	}
}

func TestProblemsComeFirst(t *testing.T) {
	page := pages(t, Options{})["status_degraded"]
	if critical, node := strings.Index(page, "CRITICAL bird-down"), strings.Index(page, "THIS NODE"); critical < 0 ||
		critical > node {
		t.Errorf("the problem is at %d, the node at %d", critical, node)
	}
}

func TestWrap(t *testing.T) {
	for _, tc := range []struct {
		text  string
		limit int
		want  []string
	}{
		{"", 10, nil},
		{"one two three", 7, []string{"one two", "three"}},
		{"a-word-that-is-too-long b", 5, []string{"a-word-that-is-too-long", "b"}},
		{"  two   spaces ", 80, []string{"two spaces"}},
		{"µµ µµ", 5, []string{"µµ µµ"}},
	} {
		if diff := cmp.Diff(tc.want, wrap(tc.text, tc.limit)); diff != "" {
			t.Errorf("wrap(%q, %d): %s", tc.text, tc.limit, diff)
		}
	}
}
