package main

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routed/examples/bookinfo/services"
	"routed/lab"
	"routed/lab/browser"
	"routed/lab/play"
)

// compile builds a command of this module.
func compile(t *testing.T, pkg string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), filepath.Base(pkg))
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", binary, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as other tests build it: compiled once for all
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return binary
}

// The whole story: the page with red stars from the other cluster, cut and healed. After the scenes that change what a reader
// sees a browser opens the page through the ingress gateway, as with --serve, and looks.
//
// It has BIRD 2 with Calico's timers, whose mesh is up in three seconds: BIRD 1.6 with its own takes fifteen, and what routed
// does is the same with each, which TestMesh of lab shows.
func TestStory(t *testing.T) {
	lab.Need(t, lab.BIRD2, lab.Ping, lab.Chromium)
	o, err := parseOptions([]string{
		"--routed", compile(t, "routed/cmd/routed"), "--bookinfo", compile(t, "routed/examples/bookinfo/cmd/bookinfo"),
		"--requests", "60", "--bird", "2", "--mode", "accept",
	})
	must(t, err)
	dir := t.TempDir()
	s, err := raise(t.Context(), play.NewPrinter(os.Stderr), o, dir)
	must(t, err)
	defer func() { must(t, s.close()) }()
	outside := httptest.NewServer(newRelay(socketIn(dir)))
	defer outside.Close()
	v := visitor{browser.Start(t, ""), outside.URL + "/productpage"}
	looks := map[string]func(*testing.T){"before": v.seesNoReviews, "evenly": v.seesEachVersion, "cut": v.seesNoReviews}
	for _, scene := range s.script() {
		t.Run(scene.name, func(t *testing.T) {
			must(t, scene.play(t.Context()))
			if look, ok := looks[scene.name]; ok {
				look(t)
			}
		})
		if t.Failed() {
			return
		}
	}
	v.CheckQuiet(t, v.url)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// visitor opens the page with a browser.
type visitor struct {
	*browser.Browser
	url string
}

// rendered is what the browser makes of the page.
type rendered struct {
	Version string   `json:"version"` // of the reviews; empty: there are none
	Reviews int      `json:"reviews"`
	Stars   []row    `json:"stars"`
	Sorry   []string `json:"sorry"`
}

// row is one reviewer's stars.
type row struct {
	Full  int    `json:"full"`  // of five; the rest is pale
	Color string `json:"color"` // as it is drawn
	Shown bool   `json:"shown"` // it has a size, and the style does not hide it
}

const readPage = `(() => {
	const text = (e) => e.textContent.trim();
	const served = [...document.querySelectorAll("#reviews .from")].map(text).join().match(/Reviews (v\d) served/);
	return {
		version: served ? served[1] : "",
		reviews: document.querySelectorAll("#reviews blockquote").length,
		stars: [...document.querySelectorAll(".stars")].map((e) => ({
			full: [...e.firstChild.textContent].filter((c) => c == "★").length,
			color: getComputedStyle(e).color,
			shown: e.checkVisibility({checkOpacity: true, checkVisibilityCSS: true}) && e.getBoundingClientRect().width > 50,
		})),
		sorry: [...document.querySelectorAll(".sorry")].map(text),
	};
})()`

// wait opens the page until it is that version's, "" for the page without reviews, and compares what is drawn.
func (v visitor) wait(t *testing.T, want rendered) {
	t.Helper()
	var got rendered
	must(t, lab.WaitFor(v.Context(), "reviews "+want.Version, func(context.Context) error {
		if err := v.Open(v.url); err != nil {
			return err
		}
		var err error
		if got, err = browser.Evaluate[rendered](v.Browser, readPage); err == nil && got.Version != want.Version {
			err = fmt.Errorf("it is the turn of %q", got.Version)
		}
		return err
	}))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reviews %s: -want +got:\n%s", want.Version, diff)
	}
	v.CheckFits(t, 360, 1000)
}

func (v visitor) seesNoReviews(t *testing.T) {
	t.Helper()
	v.wait(t, rendered{Stars: []row{}, Sorry: []string{services.NoReviews}})
	v.Keep(t, "bookinfo-no-reviews.png", "main")
}

func (v visitor) seesEachVersion(t *testing.T) {
	t.Helper()
	const black, red = "rgb(17, 17, 17)", "rgb(208, 2, 27)"
	stars := func(color string) []row { return []row{{5, color, true}, {4, color, true}} }
	v.wait(t, rendered{Version: "v1", Reviews: 2, Stars: []row{}, Sorry: []string{}})
	v.wait(t, rendered{Version: "v2", Reviews: 2, Stars: stars(black), Sorry: []string{}})
	v.wait(t, rendered{Version: "v3", Reviews: 2, Stars: stars(red), Sorry: []string{}})
	v.Keep(t, "bookinfo-red-stars.png", "main")
}
