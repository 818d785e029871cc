package browser

import (
	"context"
	"fmt"
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

// within bounds what one test does with a browser.
const within = 2 * time.Minute

// Browser is a headless Chromium, and what it complained of and asked for.
type Browser struct {
	ctx context.Context //nolint:containedctx // chromedp keeps the browser in it

	mu         sync.Mutex
	complaints []string
	requests   []string
}

// Start starts a browser in a namespace, or in the sandbox itself when that is empty, until the test ends.
func Start(t *testing.T, ns lab.Namespace, options ...chromedp.ExecAllocatorOption) *Browser {
	t.Helper()
	lab.Need(t, lab.Chromium)
	found, err := lab.Chromium.Find()
	must(t, err)
	dir := t.TempDir()
	ctx, stop := context.WithTimeout(t.Context(), within)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewExecAllocator(ctx, append(append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(found.Path(lab.Chromium.Program)), chromedp.UserDataDir(dir), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Env(append(found.Env(), fonts(t, dir, found))...),
		chromedp.ModifyCmdFunc(func(cmd *exec.Cmd) { moveInto(ns, cmd) }),
	), options...)...)
	t.Cleanup(stop)
	b := &Browser{}
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

// must ends the test at an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
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

// Context ends with the test, or when the browser has had the time that a test gets.
func (b *Browser) Context() context.Context { return b.ctx }

// Open loads a page and returns when it has loaded.
func (b *Browser) Open(url string) error { return chromedp.Do(b.ctx, chromedp.Navigate(url)) }

// Evaluate is the value of a JavaScript expression on the page, as its JSON is decoded.
func Evaluate[T any](b *Browser, expression string) (T, error) {
	return chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
}

// hear keeps what the browser tells of a page.
func (b *Browser) hear(event any) {
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

// CheckQuiet checks that the browser complained of nothing, and asked for nothing but this page.
func (b *Browser) CheckQuiet(t *testing.T, url string) {
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

// CheckFits checks that at each of these widths nothing but what scrolls by itself is wider than the window.
func (b *Browser) CheckFits(t *testing.T, widths ...int64) {
	t.Helper()
	for _, width := range widths {
		must(t, chromedp.Do(b.ctx, chromedp.EmulateViewport(width, 800)))
		over, err := Evaluate[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`)
		must(t, err)
		if over > 0 {
			t.Errorf("at %d pixels the page is %d too wide", width, over)
		}
	}
}
