package admin

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestListenMakesTheDirectoryAndTheMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "routed.sock")
	l, err := Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != fs.ModeSocket|0o660 {
		t.Errorf("mode %s, want a socket with 0660", info.Mode())
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket stays after Close: %v", err)
	}
}

// deadSocket leaves a socket file as a killed daemon does.
func deadSocket(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestListenReplacesADeadSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "routed.sock")
	deadSocket(t, path)
	l, err := Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("nobody listens: %v", err)
	}
	_ = c.Close()
}

func TestListenLeavesALiveSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "routed.sock")
	other, err := net.Listen("unix", path) // one that does not know of the lock
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	_, err = Listen(t.Context(), path)
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), path) {
		t.Fatalf("Listen: %v", err)
	}
	if c, err := net.Dial("unix", path); err != nil {
		t.Errorf("the other's socket is gone: %v", err)
	} else {
		_ = c.Close()
	}
}

func TestListenLeavesWhatIsNoSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "routed.sock")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), path); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("Listen: %v", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "precious" {
		t.Errorf("the file is now %q, %v", got, err)
	}
}

// Of many daemons that start at once over a dead socket, one gets it and the others say why they do not.
func TestListenIsARaceWithOneWinner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "routed.sock")
	deadSocket(t, path)
	var wg sync.WaitGroup
	won := make(chan net.Listener, 16)
	for range cap(won) {
		wg.Go(func() {
			l, err := Listen(t.Context(), path)
			switch {
			case err == nil:
				won <- l
			case !errors.Is(err, ErrInUse):
				t.Errorf("a loser got %v", err)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d winners", len(won))
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the winner cannot be reached: %v", err)
	}
	_ = c.Close()
	if err := (<-won).Close(); err != nil {
		t.Error(err)
	}
}

// The lock holds even when somebody has removed the socket of a daemon that lives, and goes with the daemon.
func TestListenLocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "routed.sock")
	first, err := Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if l, err := Listen(t.Context(), path); !errors.Is(err, ErrInUse) {
		t.Errorf("a second daemon got %v, %v", l, err)
	}
	if err := first.Close(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	again, err := Listen(t.Context(), path)
	if err != nil {
		t.Fatalf("after the first has ended: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// A socket that cannot be asked is not taken for a dead one: here one that takes datagrams only.
func TestListenLeavesASocketItCannotAsk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "routed.sock")
	other, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := Listen(t.Context(), path); err == nil || !strings.Contains(err.Error(), "cannot tell") {
		t.Errorf("Listen: %v", err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the other's socket is gone: %v", err)
	}
}
