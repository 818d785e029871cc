package filewatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start watches files until the test ends, and does not look at them but on events.
func start(t *testing.T, files ...string) *Watcher {
	t.Helper()
	w := New(Config{Quiet: 5 * time.Millisecond, AtMost: time.Second, Every: time.Hour, Log: slog.New(slog.DiscardHandler)})
	run(t, w)
	w.Watch(files, Sum(files))
	armed(t, w)
	return w
}

func run(t *testing.T, w *Watcher) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// armed returns when the loop has taken up the set of files: a second poke finds the first one taken.
func armed(t *testing.T, w *Watcher) {
	t.Helper()
	for range 2 {
		w.wake <- struct{}{}
	}
}

// changed waits for a change to be told.
func changed(t *testing.T, w *Watcher, what string) {
	t.Helper()
	select {
	case <-w.Changed():
	case <-time.After(30 * time.Second):
		t.Fatalf("%s: not told", what)
	}
	armed(t, w)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o600))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWrittenAndReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	write(t, path, "1")
	w := start(t, path)
	write(t, path, "2")
	changed(t, w, "written in place")
	for i := range 5 {
		tmp := filepath.Join(dir, "tmp")
		write(t, tmp, fmt.Sprintf("new %d", i))
		must(t, os.Rename(tmp, path))
		changed(t, w, "replaced by rename")
	}
	write(t, path, "after")
	changed(t, w, "written in place after it was replaced")
	must(t, os.Remove(path))
	changed(t, w, "removed")
	write(t, path, "again")
	changed(t, w, "made again")
}

// A touch, the same text, and what happens beside it are no changes: one change after all that is told once.
func TestOnlyContentCounts(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	write(t, path, "1")
	w := start(t, path)
	for range 20 {
		must(t, os.Chtimes(path, time.Now(), time.Now()))
		write(t, path, "1")
		write(t, filepath.Join(dir, "beside"), "x")
	}
	armed(t, w)
	write(t, path, "2")
	changed(t, w, "at the end")
	select {
	case <-w.Changed():
		t.Error("told twice")
	default:
	}
}

// configMap is a ConfigMap volume as the kubelet lays it out: the files are links into ..data, itself a link to a
// directory of one version, and an update turns ..data by rename.
type configMap struct {
	dir     string
	version int
}

func (c *configMap) update(t *testing.T, files map[string]string) {
	t.Helper()
	c.version++
	old, _ := os.Readlink(filepath.Join(c.dir, "..data"))
	version := fmt.Sprintf("..2026_11_24_06_00_%02d.123", c.version)
	must(t, os.Mkdir(filepath.Join(c.dir, version), 0o755))
	for name, text := range files {
		write(t, filepath.Join(c.dir, version, name), text)
	}
	must(t, os.Symlink(version, filepath.Join(c.dir, "..data_tmp")))
	must(t, os.Rename(filepath.Join(c.dir, "..data_tmp"), filepath.Join(c.dir, "..data")))
	for name := range files {
		if link := filepath.Join(c.dir, name); old == "" {
			must(t, os.Symlink(filepath.Join("..data", name), link))
		}
	}
	if old != "" {
		must(t, os.RemoveAll(filepath.Join(c.dir, old)))
	}
}

func TestConfigMap(t *testing.T) {
	c := &configMap{dir: t.TempDir()}
	c.update(t, map[string]string{"routed.yaml": "1", "hosts": "a"})
	file := filepath.Join(c.dir, "routed.yaml")
	w := start(t, file, filepath.Join(c.dir, "hosts"))
	for i := range 5 {
		c.update(t, map[string]string{"routed.yaml": fmt.Sprint("new ", i), "hosts": "a"})
		changed(t, w, "the ConfigMap's update")
	}
	c.update(t, map[string]string{"routed.yaml": "new 4", "hosts": "a"}) // the same
	c.update(t, map[string]string{"routed.yaml": "new 4", "hosts": "b"})
	changed(t, w, "the other file")
}

func TestLinks(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"real", "other", "links"} {
		must(t, os.Mkdir(filepath.Join(dir, d), 0o755))
	}
	write(t, filepath.Join(dir, "real", "f"), "1")
	write(t, filepath.Join(dir, "other", "f"), "2")
	must(t, os.Symlink("../real", filepath.Join(dir, "links", "dir")))
	must(t, os.Symlink(filepath.Join(dir, "links", "dir", "f"), filepath.Join(dir, "f")))
	w := start(t, filepath.Join(dir, "f"))
	write(t, filepath.Join(dir, "real", "f"), "3")
	changed(t, w, "what the links lead to")
	must(t, os.Remove(filepath.Join(dir, "links", "dir")))
	must(t, os.Symlink("../other", filepath.Join(dir, "links", "dir")))
	changed(t, w, "the link in the middle")
	write(t, filepath.Join(dir, "other", "f"), "4")
	changed(t, w, "what the links lead to now")
}

func TestNotThereYet(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "b", "f")
	w := start(t, path)
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	write(t, path, "1")
	changed(t, w, "made with its directories")
	must(t, os.Rename(filepath.Join(dir, "a", "b"), filepath.Join(dir, "a", "old")))
	changed(t, w, "its directory moved away")
	must(t, os.Mkdir(filepath.Join(dir, "a", "b"), 0o755))
	write(t, path, "2")
	changed(t, w, "in another directory of that name")
	write(t, path, "3")
	changed(t, w, "written there")
}

// What happened between the reader's sum and the watch is told.
func TestChangedBeforeTheWatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "1")
	w := start(t)
	read := Sum([]string{path})
	write(t, path, "2")
	w.Watch([]string{path}, read)
	changed(t, w, "before the watch")
}

func TestAnotherSet(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(t.TempDir(), "b")
	write(t, a, "1")
	write(t, b, "1")
	w := start(t, a)
	w.Watch([]string{b}, nil)
	armed(t, w)
	write(t, a, "2")
	armed(t, w)
	select {
	case <-w.Changed():
		t.Error("told of a file that is watched no more")
	default:
	}
	write(t, b, "2")
	changed(t, w, "the other file")
}

// A host without inotify left, or a file system that does not tell.
func TestWithoutNotifications(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, "1")
	w := New(Config{Quiet: time.Millisecond, AtMost: time.Second, Every: 5 * time.Millisecond, Log: slog.New(slog.DiscardHandler)})
	w.source = func() (*fsnotify.Watcher, error) { return nil, errors.New("too many open files") }
	run(t, w)
	w.Watch([]string{path}, Sum([]string{path}))
	write(t, path, "2")
	changed(t, w, "looked at")
}

func TestChain(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	must(t, os.Mkdir(filepath.Join(dir, "d"), 0o755))
	write(t, filepath.Join(dir, "d", "f"), "")
	must(t, os.Symlink("d", filepath.Join(dir, "l")))
	must(t, os.Symlink("l/../d/f", filepath.Join(dir, "m")))
	must(t, os.Symlink("loop", filepath.Join(dir, "loop")))
	in := func(names ...string) []string {
		for i := range names {
			names[i] = filepath.Join(dir, names[i])
		}
		return names
	}
	for path, want := range map[string][]string{
		"d/f": in("d/f"), "l/f": in("l", "d/f"), "m": in("m", "l", "d/f"), "no/such/f": in("no"), "d/f/x": in("d/f/x"), "l/x": in("l", "d/x"),
	} {
		if got := chain(filepath.Join(dir, path)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if got := chain(filepath.Join(dir, "loop")); len(slices.Compact(got)) != 1 {
		t.Errorf("a loop: %q", got)
	}
}

func TestBurst(t *testing.T) {
	t0 := time.Unix(0, 0)
	at := func(ms int) time.Time { return t0.Add(time.Duration(ms) * time.Millisecond) }
	b := &burst{quiet: 200 * time.Millisecond, atMost: time.Second}
	if !b.due().IsZero() {
		t.Error("due before any event")
	}
	for _, e := range []struct{ event, due int }{{0, 200}, {100, 300}, {900, 1000}, {990, 1000}} {
		b.event(at(e.event))
		if got := b.due(); !got.Equal(at(e.due)) {
			t.Errorf("event at %d ms: due after %v, want %d ms", e.event, got.Sub(t0), e.due)
		}
	}
	b.over()
	if !b.due().IsZero() {
		t.Error("due after the row was over")
	}
}
