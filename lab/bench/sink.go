package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// sinkTime is how long messages take from one write to a reader that does nothing with them: the sender's own part.
func sinkTime(ctx context.Context, messages []byte) (time.Duration, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	var d net.Dialer
	out, err := d.DialContext(ctx, "tcp4", l.Addr().String())
	if err != nil {
		return 0, err
	}
	defer out.Close()
	in, err := l.Accept()
	if err != nil {
		return 0, err
	}
	defer in.Close()
	deadline := time.Now().Add(10 * time.Second)
	if err := errors.Join(in.SetDeadline(deadline), out.SetDeadline(deadline)); err != nil {
		return 0, err
	}
	began := time.Now()
	written := make(chan error, 1)
	go func() { _, err := out.Write(messages); written <- err }()
	if _, err := io.CopyN(io.Discard, in, int64(len(messages))); err != nil {
		return 0, fmt.Errorf("the sender stalls without a receiver's work: %w", err)
	}
	return time.Since(began), <-written
}
