package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// serviceManager stands for systemd: it receives what is sent to $NOTIFY_SOCKET.
func serviceManager(t *testing.T) *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return conn
}

// received reads one message, or "" when none comes in time.
func received(t *testing.T, conn *net.UnixConn, within time.Duration) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func TestWatchdogIsFedWhileTheLoopsTurn(t *testing.T) {
	conn := serviceManager(t)
	t.Setenv("WATCHDOG_USEC", "90000")
	t.Setenv("WATCHDOG_PID", "")
	var stuck atomic.Bool
	alive := func(context.Context) error {
		if stuck.Load() {
			return errors.New("stuck")
		}
		return nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- notifier{log: slog.New(slog.DiscardHandler)}.watch(ctx, alive, func(context.Context) string { return "fine" })
	}()
	if got := received(t, conn, 10*time.Second); got != "STATUS=fine" {
		t.Fatalf("first message %q, want the status", got)
	}
	for range 3 {
		if got := received(t, conn, 10*time.Second); got != "WATCHDOG=1" {
			t.Fatalf("message %q, want the watchdog fed (and the same status said once)", got)
		}
	}
	stuck.Store(true)
	for received(t, conn, 300*time.Millisecond) != "" { // what was on its way
	}
	if got := received(t, conn, 300*time.Millisecond); got != "" {
		t.Errorf("message %q from a daemon that is stuck", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestReadyAndStopping(t *testing.T) {
	conn := serviceManager(t)
	n := notifier{log: slog.New(slog.DiscardHandler)}
	n.ready()
	n.stopping()
	got := received(t, conn, time.Second) + " " + received(t, conn, time.Second)
	if !strings.HasPrefix(got, "READY=1") || !strings.Contains(got, "STOPPING=1") {
		t.Errorf("messages %q", got)
	}
}
