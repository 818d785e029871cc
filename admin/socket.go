package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrInUse says that another daemon serves the socket.
var ErrInUse = errors.New("another routed runs")

const (
	socketMode  = 0o660 // the owner and the group may ask
	dirMode     = 0o755
	probePeriod = time.Second
)

// listener is the socket with the lock beside it. Closing it removes the socket, and then lets the lock go.
type listener struct {
	*net.UnixListener
	lock  *os.File
	close sync.Once
	err   error
}

// Close ends the listener. It may be called more than once.
func (l *listener) Close() error {
	l.close.Do(func() { l.err = errors.Join(l.UnixListener.Close(), l.lock.Close()) })
	return l.err
}

// Listen opens the socket at path, making its directory where it is missing. A socket left by a daemon that died is
// replaced; one that somebody serves is not, and the error is [ErrInUse]. Whatever else has the name is left alone.
//
// The file path.lock beside it, locked while the daemon lives and never removed, decides between two daemons that
// start at the same moment.
func Listen(ctx context.Context, path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), dirMode); err != nil {
		return nil, fmt.Errorf("admin.socket %s: make its directory: %w", path, err)
	}
	lock, err := acquire(path + ".lock")
	if err != nil {
		return nil, fmt.Errorf("admin.socket %s: %w", path, err)
	}
	l, err := listen(ctx, path)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("admin.socket %s: %w", path, err), lock.Close())
	}
	return &listener{UnixListener: l, lock: lock}, nil
}

func listen(ctx context.Context, path string) (*net.UnixListener, error) {
	if err := removeStale(ctx, path); err != nil {
		return nil, err
	}
	// The mode of a socket before bind(2), less the umask, is that of its file (net/unix/af_unix.c): so there is no
	// moment in which more than we want may connect.
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) { failed = unix.Fchmod(int(fd), socketMode) })
		return errors.Join(err, failed)
	}}
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, socketMode); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	unixListener, ok := l.(*net.UnixListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("unexpected listener %T", l), l.Close())
	}
	return unixListener, nil
}

// removeStale removes a socket that nobody listens on.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("a file that is no socket has this name; move it away or name another admin.socket")
	}
	ctx, cancel := context.WithTimeout(ctx, probePeriod)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		return errors.Join(fmt.Errorf("%w: it answers on this socket; stop it, or name another admin.socket", ErrInUse),
			conn.Close())
	case errors.Is(err, unix.ECONNREFUSED):
		return os.Remove(path)
	default:
		return fmt.Errorf("cannot tell whether another routed runs: %w", err)
	}
}

// acquire takes the lock of the file at path, as long as the returned file is open.
func acquire(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("%w: it holds %s; stop it, or name another admin.socket", ErrInUse, path)
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
