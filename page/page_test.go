package page

import (
	"bytes"
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"routed/admin"
	"routed/page/pagetest"
)

func render(tb testing.TB, s admin.Status, peers admin.Peers) string {
	tb.Helper()
	p, err := New()
	if err != nil {
		tb.Fatal(err)
	}
	var b bytes.Buffer
	if err := p.Write(&b, s, peers, 0); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

// pages are one of each kind.
func pages(t *testing.T) map[string]string {
	t.Helper()
	peers := load[admin.Peers](t, "peers.json")
	out := map[string]string{
		"healthy":  render(t, load[admin.Status](t, "status_healthy.json"), peers),
		"degraded": render(t, load[admin.Status](t, "status_degraded.json"), peers),
		"empty":    render(t, admin.Status{}, admin.Peers{}),
	}
	for name, sizes := range map[string][]int{"6": {5}, "600": {350, 200, 30, 20}, "10000": {9000, 1000, 500}, "clusters": make([]int, 150)} {
		s, p := pagetest.Mesh(sizes...)
		out[name] = render(t, s, p)
	}
	p, err := New()
	if err != nil {
		t.Fatal(err)
	}
	trouble, err := p.trouble("the mesh loop did not answer: <deadline>", 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	out["trouble"] = string(trouble)
	return out
}

// voids are the elements without an end (HTML living standard, section 13.1.2).
func voids() []string { return []string{"meta", "br", "link", "hr", "img", "input"} }

// wellFormed checks that what is opened is closed, in order, and that no id is there twice.
func wellFormed(t *testing.T, page string) {
	t.Helper()
	z := html.NewTokenizer(strings.NewReader(page))
	var open []string
	ids := map[string]bool{}
	for z.Next() != html.ErrorToken {
		token := z.Token()
		for _, a := range token.Attr {
			if a.Key == "id" && ids[a.Val] {
				t.Errorf("id %q is there twice", a.Val)
			}
			ids[a.Val] = ids[a.Val] || a.Key == "id"
		}
		switch {
		case token.Type == html.StartTagToken && !slices.Contains(voids(), token.Data):
			open = append(open, token.Data)
		case token.Type == html.EndTagToken:
			if len(open) == 0 || open[len(open)-1] != token.Data {
				t.Fatalf("</%s> closes %v", token.Data, open)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("never closed: %v", open)
	}
}

// selfContained checks that nothing is loaded or run, and that a link stays on the server.
func selfContained(t *testing.T, page string) {
	t.Helper()
	for n := range parse(t, page).Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if slices.Contains([]string{"script", "link", "img", "image", "iframe", "object", "embed", "form", "base", "foreignobject"}, n.Data) {
			t.Errorf("there is a <%s>", n.Data)
		}
		for _, a := range n.Attr {
			switch {
			case strings.HasPrefix(a.Key, "on"), a.Key == "style", a.Key == "src", a.Key == "srcset":
				t.Errorf("<%s> has %s=%q", n.Data, a.Key, a.Val)
			case a.Key == "href" && n.Data == "use" && !strings.HasPrefix(a.Val, "#"):
				t.Errorf("a sign from elsewhere: %q", a.Val)
			case a.Key == "href" && n.Data == "a" && !slices.Contains([]string{"metrics", "healthz", "readyz", "?", "?refresh=10"}, a.Val):
				t.Errorf("a link to %q", a.Val)
			}
		}
	}
	if strings.Contains(page, "@import") || strings.Count(page, "url(") != strings.Count(page, "url(#hatch)") {
		t.Error("the style loads something")
	}
}

func parse(t *testing.T, page string) *html.Node {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// all lists the elements of a name, with a class if one is given.
func all(doc *html.Node, name, class string) []*html.Node {
	var out []*html.Node
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && n.Data == name && (class == "" || slices.Contains(strings.Fields(attr(n, "class")), class)) {
			out = append(out, n)
		}
	}
	return out
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// text is what stands in an element, in one line.
func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// maxSize is what a page may weigh, however large the mesh is.
const maxSize = 300 << 10

func TestEveryPageIsSound(t *testing.T) {
	for name, page := range pages(t) {
		t.Run(name, func(t *testing.T) {
			wellFormed(t, page)
			selfContained(t, page)
			if len(page) > maxSize {
				t.Errorf("%d bytes", len(page))
			}
			if strings.Contains(page, "ZgotmplZ") {
				t.Error("the template refused a value")
			}
			if name != "empty" && strings.Contains(page, "0001-01-01") {
				t.Error("a time that is none")
			}
		})
	}
}

func TestProblemsComeFirst(t *testing.T) {
	s := load[admin.Status](t, "status_degraded.json")
	page := render(t, s, load[admin.Peers](t, "peers.json"))
	doc := parse(t, page)
	if first := all(doc, "section", "")[0]; !strings.HasPrefix(text(first), "Problems critical bird-down no BGP session with the local BIRD 127.0.0.1") {
		t.Errorf("the first section: %.200s", text(first))
	}
	items := all(all(doc, "ol", "problems")[0], "li", "")
	want := admin.Problems(s)
	if len(items) != len(want) {
		t.Fatalf("%d problems are shown, want %d", len(items), len(want))
	}
	plain := strings.NewReplacer("`", "", " ", "")
	for i, p := range want {
		said := string(p.Severity) + string(p.Code) + p.Text + "Whattodo" + p.Remedy
		if got := strings.ReplaceAll(text(items[i]), " ", ""); got != plain.Replace(said) {
			t.Errorf("problem %d:\n%s\nwant\n%s", i, got, plain.Replace(said))
		}
	}
	if verdict := text(all(doc, "p", "verdict")[0]); verdict != fmt.Sprintf("%d problems", len(want)) {
		t.Errorf("verdict %q", verdict)
	}
}

func TestHealthy(t *testing.T) {
	doc := parse(t, render(t, load[admin.Status](t, "status_healthy.json"), load[admin.Peers](t, "peers.json")))
	if verdict := all(doc, "p", "good"); len(verdict) != 1 || text(verdict[0]) != "healthy" || len(all(doc, "ol", "problems")) > 0 {
		t.Errorf("verdict %v", verdict)
	}
	if title := text(all(doc, "title", "")[0]); title != "healthy · 9.111.255.21 · routed" {
		t.Errorf("title %q", title)
	}
}

// Probes have a table where they are on.
func TestProbes(t *testing.T) {
	s := load[admin.Status](t, "status_degraded.json")
	doc := parse(t, render(t, s, admin.Peers{}))
	var words []string
	for _, row := range all(all(doc, "table", "")[1], "tr", "")[1:] {
		words = append(words, text(row))
	}
	if len(s.Probe.Targets) == 0 || len(words) != len(s.Probe.Targets) {
		t.Fatalf("%d rows for %d kinds of targets: %q", len(words), len(s.Probe.Targets), words)
	}
	for _, p := range s.Probe.Targets {
		want := fmt.Sprintf("%s %s %d/%d %d ", p.Cluster, map[string]string{"next_hop": "next hops", "address": "addresses"}[p.Kind],
			p.Answering, p.Answering+p.Failing+p.Unprobed, p.Silent)
		if !slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, want) }) {
			t.Errorf("no row %q among %q", want, words)
		}
	}
	s.Probe = nil
	if strings.Contains(render(t, s, admin.Peers{}), `id="probes"`) {
		t.Error("a table of probes that are off")
	}
}

// signs counts the signs of the picture by condition: nodes with a name, and cells.
func signs(doc *html.Node) (named, cells map[condition]int) {
	named, cells = map[condition]int{}, map[condition]int{}
	for _, g := range all(doc, "g", "cluster") {
		for _, use := range all(g, "use", "") {
			sign := strings.TrimPrefix(attr(use, "href"), "#")
			if small, isCell := strings.CutPrefix(sign, "s-"); isCell {
				cells[condition(small)]++
			} else {
				named[condition(sign)]++
			}
		}
	}
	return named, cells
}

func TestASmallMeshIsDrawnNodeByNode(t *testing.T) {
	s, p := pagetest.Mesh(5)
	p.Peers[2].Up, p.Peers[2].State, p.Peers[2].DownReason = false, "active", "hold timer expired"
	doc := parse(t, render(t, s, p))
	named, cells := signs(doc)
	if named[up] != 4 || named[kept] != 1 || len(cells) > 0 {
		t.Errorf("named %v, cells %v", named, cells)
	}
	var lines []string
	for _, l := range all(doc, "path", "line") {
		lines = append(lines, strings.TrimPrefix(attr(l, "class"), "line "))
	}
	slices.Sort(lines)
	if want := []string{"kept", "up", "up", "up", "up", "up"}; !slices.Equal(lines, want) { // BIRD's too
		t.Errorf("lines %v, want %v", lines, want)
	}
	picture := text(all(doc, "svg", "")[0])
	for _, want := range []string{"THIS NODE 9.111.255.21 cluster-1 own blocks: 1", "worker-2-0001 9.112.0.2 2 blocks kept · down 1d", "BIRD up 1d2h 127.0.0.1"} {
		if !strings.Contains(picture, want) {
			t.Errorf("the picture does not say %q: %s", want, picture)
		}
	}
}

// Whatever is not as it should be stands first, by name.
func TestALargeMeshIsAField(t *testing.T) {
	s, p := pagetest.Mesh(350, 200, 50)
	doc := parse(t, render(t, s, p))
	named, cells := signs(doc)
	// The last cluster is reached by two reflectors.
	if want := map[condition]int{down: 6, kept: 6, refused: 5, up: 2}; fmt.Sprint(named) != fmt.Sprint(want) {
		t.Errorf("named %v, want %v", named, want)
	}
	if want := map[condition]int{up: 550 - 17}; fmt.Sprint(cells) != fmt.Sprint(want) {
		t.Errorf("cells %v, want %v", cells, want)
	}
	desc := text(all(doc, "desc", "")[0])
	for _, want := range []string{
		"This node is 9.111.255.21 of cluster cluster-1.", "Cluster cluster-2: 342/350 nodes up", "worker-2-0017 never up",
		"Cluster cluster-4: 2/2 reflectors up, 50 blocks, 50/50 routes installed.",
	} {
		if !strings.Contains(desc, want) {
			t.Errorf("the description does not say %q: %s", want, desc)
		}
	}
}

// Nothing that is left out is left out silently.
func TestAHugeMeshIsBounded(t *testing.T) {
	s, p := pagetest.Mesh(9000, 1000, 2)
	doc := parse(t, render(t, s, p))
	named, cells := signs(doc)
	shown := 0
	for _, n := range []map[condition]int{named, cells} {
		for _, count := range n {
			shown += count
		}
	}
	if shown > chipsAtAll+cellsAtAll+rowsDrawn {
		t.Errorf("%d nodes are drawn", shown)
	}
	page := text(doc)
	for _, want := range []string{"more up", "and 9803 more: routed peers on this node lists them all"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if rows := len(all(all(doc, "table", "")[1], "th", "")) - 9; rows != sessionsShown {
		t.Errorf("%d sessions are listed", rows)
	}
}

func TestEverythingDown(t *testing.T) {
	s, p := pagetest.Mesh(1000, 1000, 300)
	for i := range p.Peers {
		p.Peers[i].Up, p.Peers[i].DownReason = false, strings.Repeat("é<&>\"'", 100)
		p.Peers[i].Name = strings.Repeat("<worker>", 30) + strconv.Itoa(i)
	}
	page := render(t, s, p)
	wellFormed(t, page)
	if len(page) > 2*maxSize { // every character escaped, in every title
		t.Errorf("%d bytes", len(page))
	}
}

// Names and reasons come from the network.
func TestHostileTexts(t *testing.T) {
	const evil = `</title></style></svg><script>alert(1)</script><img src=x onerror=alert(2)>"'` + "`&amp;\x00\u202e"
	s, p := pagetest.Mesh(3, 40, 2)
	s.NotReady, s.Ready = evil, false
	s.Node.Cluster, s.Node.Release = evil, evil
	s.Kernel.LastError, s.Guard.State, s.Guard.Reason = evil, admin.GuardFailing, evil
	s.Probe = &admin.Probe{Error: evil, Targets: []admin.ProbeCount{{Cluster: evil, Kind: evil, Narrow: 1, PathMTU: 1400}}}
	s.Config.LastReloadOK, s.Config.LastReloadError, s.Config.File = false, evil, evil
	for i := range s.Clusters {
		s.Clusters[i].Name += evil
		s.Clusters[i].NodesUp = 0
	}
	for i := range p.Peers {
		peer := &p.Peers[i]
		peer.Name, peer.DownReason, peer.State = evil+peer.Name, evil, evil
		if peer.Role != "bird" {
			peer.Cluster += evil
		}
		peer.Up = i%2 == 0
		peer.Rejected = []admin.Count{{Name: evil, Count: 1}}
		peer.LastRejected = []admin.Rejection{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Reason: evil, Detail: evil}}
	}
	page := render(t, s, p)
	wellFormed(t, page)
	selfContained(t, page)
	if doc := parse(t, page); !strings.Contains(text(doc), "alert(1)") {
		t.Error("the texts are not on the page: this test tests nothing")
	}
}

// The picture needs no colour, and no eyes.
func TestThePictureIsAccessible(t *testing.T) {
	s, p := pagetest.Mesh(200)
	doc := parse(t, render(t, s, p))
	svg := all(doc, "svg", "")[0]
	if attr(svg, "role") != "img" || attr(svg, "aria-labelledby") != "mesh-title mesh-desc" {
		t.Errorf("%v", svg.Attr)
	}
	for _, use := range all(svg, "use", "") {
		if sign := strings.TrimPrefix(strings.TrimPrefix(attr(use, "href"), "#"), "s-"); sign != attr(use, "class") {
			t.Errorf("a sign of %s in the colour of %s", sign, attr(use, "class"))
		}
	}
	for _, cell := range all(all(doc, "g", "cluster")[0], "use", "") {
		if strings.HasPrefix(attr(cell, "href"), "#s-") && !strings.Contains(text(cell), "worker-2-") {
			t.Errorf("a cell without a title: %q", text(cell))
		}
	}
}

// minContrast is what running text needs (WCAG 2.2, success criterion 1.4.3, level AA).
const minContrast = 4.5

// Text can be read on whatever it stands on, in the light and in the dark, and on paper.
func TestContrast(t *testing.T) {
	style, err := files.ReadFile("style.css")
	if err != nil {
		t.Fatal(err)
	}
	schemes := regexp.MustCompile(`(?s):root \{.*?\}`).FindAllString(string(style), -1)
	if len(schemes) != 3 {
		t.Fatalf("%d schemes of colours", len(schemes))
	}
	for i, scheme := range schemes {
		colours := map[string]string{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{6})`).FindAllStringSubmatch(scheme, -1) {
			colours[m[1]] = m[2]
		}
		for text, backs := range map[string][]string{
			"text":  {"back", "card", "critical-back", "warning-back", "track"},
			"quiet": {"back", "card", "critical-back", "warning-back"},
			"link":  {"back"}, "up": {"back", "card", "good-back"}, "refused": {"back", "card", "warning-back"},
			"kept": {"back", "card"}, "down": {"back", "card", "critical-back"},
			"glyph": {"up", "refused", "kept", "down"},
		} {
			for _, back := range backs {
				if c := contrast(t, colours[text], colours[back]); c < minContrast {
					t.Errorf("scheme %d: %s on %s has a contrast of %.2f", i, text, back, c)
				}
			}
		}
	}
}

// contrast is the contrast ratio of two colours (WCAG 2.2, glossary).
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	luminance := func(hex string) float64 {
		sum := 0.0
		for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
			n, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
			if err != nil {
				t.Fatal(err)
			}
			v := float64(n) / 255
			if v <= 0.04045 {
				v /= 12.92
			} else {
				v = math.Pow((v+0.055)/1.055, 2.4)
			}
			sum += weight * v
		}
		return sum
	}
	la, lb := luminance(a), luminance(b)
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

// BenchmarkPage shows that a page costs as much as there are sessions up to its bounds.
func BenchmarkPage(b *testing.B) {
	for _, nodes := range []int{6, 600, 10000} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			s, p := pagetest.Mesh(nodes)
			page, err := New()
			if err != nil {
				b.Fatal(err)
			}
			var out bytes.Buffer
			for b.Loop() {
				out.Reset()
				if err := page.Write(&out, s, p, 0); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(out.Len()), "bytes/page")
		})
	}
}
