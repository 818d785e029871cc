package doctest

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAnchor(t *testing.T) {
	for title, want := range map[string]string{
		"The guard in front of the port":      "the-guard-in-front-of-the-port",
		"`mesh.withdrawalBrake`":              "meshwithdrawalbrake", // goldmark has taken the backquotes away already
		"2. The first node":                   "2-the-first-node",
		"IPv4 & IPv6":                         "ipv4--ipv6",
		"What is there, and what is not yet?": "what-is-there-and-what-is-not-yet",
		"路由 (BGP)：两个集群":                       "路由-bgp两个集群",
		"snake_case stays":                    "snake_case-stays",
	} {
		if got := Anchor(title); got != want {
			t.Errorf("%q: %q, want %q", title, got, want)
		}
	}
}

const sample = "# A page\n\n" +
	"See [there](b.md#c) and\n`routed status`, <a id=\"by-hand\"></a> ![a picture](p.png).\n\n" +
	"## Twice `over`\n\n## Twice over\n\n" +
	"| a | b |\n|---|---|\n| [x](y.md) | `z` |\n\n" +
	"```sh lab exit=1\nrouted plan\n```\n\n```\nshown\n```\n\n" +
	"1. item\n\n   ```yaml fragment\n   a: 1\n   ```\n\n" +
	"       indented\n\n<p><img src=\"q.svg\" alt=\"q\"></p>\n"

func TestParse(t *testing.T) {
	page, err := Parse("docs/a.md", []byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	want := &Page{
		Path: "docs/a.md",
		Links: []Link{
			{Line: 3, Dest: "b.md#c", Text: "there"},
			{Line: 4, Dest: "p.png", Text: "a picture", Image: true},
			{Line: 12, Dest: "y.md", Text: "x"},
			{Line: 30, Dest: "q.svg", Text: "q", Image: true},
		},
		Anchors: map[string]bool{"a-page": true, "by-hand": true, "twice-over": true, "twice-over-1": true},
		Blocks: []Block{
			{Page: "docs/a.md", Line: 15, Fenced: true, Lang: "sh", Marks: []string{"lab", "exit=1"}, Text: "routed plan\n", Shown: "shown\n"},
			{Page: "docs/a.md", Line: 19, Fenced: true, Text: "shown\n"},
			{Page: "docs/a.md", Line: 25, Fenced: true, Lang: "yaml", Marks: []string{"fragment"}, Text: "a: 1\n"},
			{Page: "docs/a.md", Line: 28, Text: "indented\n"},
		},
		Spans: []Span{{Line: 4, Text: "routed status"}, {Line: 12, Text: "z"}},
	}
	got := *page
	spans := page.Spans
	got.Spans = slices.DeleteFunc(slices.Clone(spans), func(s Span) bool { return s.Text == "over" })
	if diff := cmp.Diff(want, &got); diff != "" {
		t.Errorf("-want +got:\n%s\nanchors %v", diff, slices.Sorted(maps.Keys(page.Anchors)))
	}
}

func TestPages(t *testing.T) {
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	pages, err := Pages(root)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, p := range pages {
		paths = append(paths, p.Path)
	}
	for _, want := range []string{"README.md", "docs/configuration.md", "docs/design/layout.md", "examples/bookinfo/README.md"} {
		if !slices.Contains(paths, want) {
			t.Errorf("%s is not among %v", want, paths)
		}
	}
}
