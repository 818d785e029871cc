package lab_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"routed/lab"
)

// browserWithin bounds what one test does with a browser.
const browserWithin = 2 * time.Minute

// browser is a headless Chromium, and what it complained of and asked for.
type browser struct {
	ctx context.Context //nolint:containedctx // chromedp keeps the browser in it

	mu         sync.Mutex
	complaints []string
	requests   []string
}

// startBrowser starts a browser in a namespace, or in the sandbox itself when that is empty, until the test ends.
func startBrowser(t *testing.T, ns lab.Namespace, options ...chromedp.ExecAllocatorOption) *browser {
	t.Helper()
	lab.Need(t, lab.Chromium)
	found, err := lab.Chromium.Find()
	must(t, err)
	dir := t.TempDir()
	ctx, stop := context.WithTimeout(t.Context(), browserWithin)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewExecAllocator(ctx, append(append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(found.Path(lab.Chromium.Program)), chromedp.UserDataDir(dir), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Env(append(found.Env(), fonts(t, dir, found))...),
		chromedp.ModifyCmdFunc(func(cmd *exec.Cmd) { moveInto(ns, cmd) }),
	), options...)...)
	t.Cleanup(stop)
	b := &browser{}
	b.ctx, stop = chromedp.NewContext(ctx, chromedp.WithErrorf(t.Logf), chromedp.WithListener(b.hear))
	t.Cleanup(stop)
	must(t, chromedp.Do(b.ctx))
	return b
}

// moveInto has a command run in a namespace. It is exec'd in place, so its files and its process id stay what they are.
func moveInto(ns lab.Namespace, cmd *exec.Cmd) {
	if ns == "" {
		return
	}
	inside := ns.Command(context.Background(), cmd.Path, cmd.Args[1:]...)
	cmd.Path, cmd.Args = inside.Path, inside.Args
}

// fonts is the setting that has the browser find fonts on a host without any: those that were unpacked along with it.
func fonts(t *testing.T, dir string, found lab.Found) string {
	t.Helper()
	const host = "/etc/fonts/fonts.conf"
	if _, err := os.Stat(host); err == nil {
		return "FONTCONFIG_FILE=" + host
	}
	file := filepath.Join(dir, "fonts.conf")
	must(t, os.WriteFile(file, fmt.Appendf(nil, `<fontconfig><dir>%s</dir><cachedir>%s</cachedir></fontconfig>`,
		found.Path("usr/share/fonts"), dir), 0o600))
	return "FONTCONFIG_FILE=" + file
}

// hear keeps what the browser tells of a page.
func (b *browser) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	case *network.EventLoadingFailed:
		b.complaints = append(b.complaints, "not loaded: "+e.ErrorText)
	case *log.EventEntryAdded:
		b.complaints = append(b.complaints, fmt.Sprintf("%s: %s", e.Entry.Level, e.Entry.Text))
	case *runtime.EventConsoleAPICalled:
		b.complaints = append(b.complaints, fmt.Sprintf("console: %v", e.Args))
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, e.ExceptionDetails.Text)
	}
}

// checkQuiet checks that the browser complained of nothing, and asked for nothing but this page.
func (b *browser) checkQuiet(t *testing.T, url string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.complaints) > 0 {
		t.Errorf("the browser complains: %v", b.complaints)
	}
	if asked := slices.Compact(slices.Sorted(slices.Values(b.requests))); !slices.Equal(asked, []string{url}) {
		t.Errorf("the browser asked for %v, want %s alone", asked, url)
	}
}

// checkFits checks that at each of these widths nothing but what scrolls by itself is wider than the window.
func (b *browser) checkFits(t *testing.T, widths ...int64) {
	t.Helper()
	for _, width := range widths {
		must(t, chromedp.Do(b.ctx, chromedp.EmulateViewport(width, 800)))
		over, err := chromedp.Run(b.ctx, chromedp.Evaluate[int](`document.documentElement.scrollWidth - document.documentElement.clientWidth`))
		must(t, err)
		if over > 0 {
			t.Errorf("at %d pixels the page is %d too wide", width, over)
		}
	}
}

// keep writes a picture of the page down to the end of an element for the documentation, when ROUTED_SCREENSHOTS names a
// folder for it.
func (b *browser) keep(t *testing.T, name, end string) {
	t.Helper()
	dir := os.Getenv("ROUTED_SCREENSHOTS")
	if dir == "" {
		return
	}
	must(t, chromedp.Do(b.ctx, chromedp.EmulateViewport(960, 800)))
	bottom, err := chromedp.Run(b.ctx, chromedp.Evaluate[float64](
		fmt.Sprintf(`document.querySelector(%q).getBoundingClientRect().bottom + window.scrollY`, end)))
	must(t, err)
	must(t, chromedp.Do(b.ctx, chromedp.EmulateViewport(960, int64(bottom)+16)))
	shot, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	must(t, err)
	picture, err := png.Decode(bytes.NewReader(shot))
	must(t, err)
	var out bytes.Buffer
	must(t, (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, paletted(picture)))
	must(t, os.WriteFile(filepath.Join(dir, name), out.Bytes(), 0o644))
}

// paletted gives a picture the 256 colours that are in it most often, which is a third of the size.
func paletted(picture image.Image) *image.Paletted {
	bounds := picture.Bounds()
	count := map[color.RGBA]int{}
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA) }
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			count[at(x, y)]++
		}
	}
	colours := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int { return cmp.Compare(count[b], count[a]) })
	var palette color.Palette
	for _, c := range colours[:min(len(colours), 256)] {
		palette = append(palette, c)
	}
	out := image.NewPaletted(bounds, palette)
	nearest := map[color.RGBA]uint8{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			c := at(x, y)
			index, known := nearest[c]
			if !known {
				index = uint8(palette.Index(c)) // at most 256
				nearest[c] = index
			}
			out.SetColorIndex(x, y, index)
		}
	}
	return out
}
