package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"

	"routed/examples/bookinfo/services"
)

// relay passes what comes to an address of this machine on to the gateway inside the sandbox, which it has no other way
// into than a socket in a folder. It ends with ctx; wait returns when it has.
func relay(ctx context.Context, address, socket string) (wait func(), err error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !at.Addr().IsLoopback() {
		return nil, fmt.Errorf("--listen %q: want a loopback ADDRESS:PORT, such as 127.0.0.1:9080", address)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := services.Serve(ctx, l, newRelay(socket)); err != nil {
			fmt.Fprintln(os.Stderr, "demo-bookinfo: --listen:", err)
		}
	}()
	return func() { <-done }, nil
}

func newRelay(socket string) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "gateway"}) },
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, "The clusters are not up yet; load the page again in a few seconds.\n")
		},
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
}
