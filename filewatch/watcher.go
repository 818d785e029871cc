package filewatch

import (
	"context"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Config says how a Watcher works.
type Config struct {
	Quiet  time.Duration // a change is told when nothing has happened for so long
	AtMost time.Duration // or so long after the first event, when it does not get quiet
	Every  time.Duration // the files are looked at so often, events or not
	Log    *slog.Logger
}

// Watcher watches a set of files.
type Watcher struct {
	cfg     Config
	source  func() (*fsnotify.Watcher, error)
	changed chan struct{}
	wake    chan struct{}

	mu    sync.Mutex
	files []string
	known Sums
}

// New makes a watcher of no file.
func New(cfg Config) *Watcher {
	return &Watcher{
		cfg: cfg, source: fsnotify.NewWatcher,
		changed: make(chan struct{}, 1), wake: make(chan struct{}, 1),
	}
}

// Watch makes files, absolute paths, the full set that is watched. known is what they held when the caller read them,
// taken before it did: a change since then is told as well. A path without a sum counts as read now.
func (w *Watcher) Watch(files []string, known Sums) {
	w.mu.Lock()
	w.files = slices.Clone(files)
	w.known = make(Sums, len(files))
	for _, f := range files {
		if s, ok := known[f]; ok {
			w.known[f] = s
		} else {
			w.known[f] = sum(f)
		}
	}
	w.mu.Unlock()
	poke(w.wake)
}

// Changed gets a value when a file changed; several changes that nobody has taken up are one.
func (w *Watcher) Changed() <-chan struct{} { return w.changed }

// Run watches until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	look := time.NewTicker(w.cfg.Every)
	defer look.Stop()
	due := time.NewTimer(0)
	due.Stop()
	defer due.Stop()
	n := w.notifications()
	defer n.close()
	row := &burst{quiet: w.cfg.Quiet, atMost: w.cfg.AtMost}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-due.C:
			row.over()
			n.follow(w.set())
			w.tell()
			continue
		case e := <-n.events:
			if !n.matters(e.Name) {
				continue
			}
			n.follow(w.set())
		case err := <-n.errors: // events were lost
			w.cfg.Log.Warn("changes of files may have been missed, looking at them", "event", "filewatch-error", "error", err)
			poke(w.wake)
			continue
		case <-w.wake:
			if !w.look(n) {
				continue
			}
		case <-look.C:
			if !w.look(n) {
				continue
			}
		}
		// A difference alone is not told: whoever writes the file may be in the middle of it.
		row.event(time.Now())
		due.Reset(time.Until(row.due()))
	}
}

func (w *Watcher) set() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.files
}

// look reports whether the files do not hold what is known.
func (w *Watcher) look(n *notifications) bool {
	n.follow(w.set())
	w.mu.Lock()
	defer w.mu.Unlock()
	return !Sum(w.files).equal(w.known)
}

// tell tells a change when the files do not hold what is known, and knows what they hold now.
func (w *Watcher) tell() {
	w.mu.Lock()
	now := Sum(w.files)
	same := now.equal(w.known)
	w.known = now
	w.mu.Unlock()
	if !same {
		poke(w.changed)
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// notifications is inotify, or nothing where there is none to be had.
type notifications struct {
	fs     *fsnotify.Watcher
	events chan fsnotify.Event
	errors chan error
	log    *slog.Logger
	points map[string]bool // what the watched files depend on
	dirs   map[string]bool // the directories these are in
}

func (w *Watcher) notifications() *notifications {
	n := &notifications{log: w.cfg.Log}
	fs, err := w.source()
	if err != nil {
		w.cfg.Log.Warn("no notifications of changed files, looking at them instead", "event", "filewatch-error",
			"every", w.cfg.Every, "error", err)
		return n
	}
	n.fs, n.events, n.errors = fs, fs.Events, fs.Errors
	return n
}

func (n *notifications) close() {
	if n.fs != nil {
		_ = n.fs.Close()
	}
}

// follow watches the directories of all that the files depend on now. Directories are watched, not files: a watch on a
// file ends when the file is replaced.
func (n *notifications) follow(files []string) {
	if n.fs == nil {
		return
	}
	before := n.dirs
	n.points, n.dirs = map[string]bool{}, map[string]bool{}
	for _, f := range files {
		for _, point := range chain(f) {
			n.points[point] = true
			n.dirs[filepath.Dir(point)] = true
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(n.dirs)) {
		// Also those watched before: it may be another directory of the same name.
		if err := n.fs.Add(dir); err != nil && !before[dir] {
			n.log.Warn("no notifications of changed files in a directory, looking at them instead", "event", "filewatch-error",
				"directory", dir, "error", err)
		}
	}
	for dir := range before {
		if !n.dirs[dir] {
			_ = n.fs.Remove(dir) // gone with the directory is as good
		}
	}
}

// matters reports whether an event is about something that a file depends on, or ends a watch.
func (n *notifications) matters(name string) bool { return n.points[name] || n.dirs[name] }
