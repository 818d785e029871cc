package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/exporter-toolkit/web"
	"golang.org/x/net/netutil"
)

const (
	maxConns      = 64
	maxScrapes    = 4 // at a time; more are told to come again
	scrapeTimeout = 10 * time.Second
	headerTimeout = 5 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = 2 * time.Minute // longer than the usual scrape interval, so that a scraper keeps its connection
	stopTimeout   = 2 * time.Second
)

// ServerConfig is what a [Server] needs. The functions are called from many goroutines and must answer at once.
type ServerConfig struct {
	Listen        string // metrics.listen: host:port
	WebConfigFile string // metrics.webConfigFile: TLS and basic auth, read by the exporter-toolkit; may be empty
	Registry      *prometheus.Registry
	Page          http.Handler // of /, for people
	Healthy       func() error // nil: the loops turn; else why not
	Ready         func() error // nil: adopted and converged; else why not
	Log           *slog.Logger
}

// Server serves /metrics, /healthz, /readyz and, at /, the page for people.
type Server struct{ cfg ServerConfig }

// NewServer makes a server; it opens nothing.
func NewServer(cfg ServerConfig) *Server { return &Server{cfg: cfg} }

// Run listens and serves until ctx ends and then returns nil. It returns an error when the address cannot be had, the
// web configuration is not usable, or the listener is lost.
func (s *Server) Run(ctx context.Context) error {
	l, err := Listen(ctx, s.cfg.Listen)
	if err != nil {
		return err
	}
	return s.Serve(ctx, l)
}

// Listen opens the address of metrics.listen.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("metrics.listen %s: another program listens there; name a free port: %w", address, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("metrics.listen %s: no interface has the address: %w", address, err)
	default:
		return nil, fmt.Errorf("metrics.listen %s: %w", address, err)
	}
}

// Serve is Run on a listener that it then owns, for a caller that wants the port before it starts anything else.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if err := web.Validate(s.cfg.WebConfigFile); err != nil {
		return errors.Join(fmt.Errorf("metrics.webConfigFile %s: %w", s.cfg.WebConfigFile, err), l.Close())
	}
	srv := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       headerTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- s.serve(srv, netutil.LimitListener(l, maxConns)) }()
	s.cfg.Log.Info("metrics listener open", "event", "metrics-listening", "address", l.Addr().String())
	select {
	case err := <-served:
		_ = l.Close() // it may be closed already
		return fmt.Errorf("metrics.listen %s: %w", s.cfg.Listen, err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := srv.Shutdown(stop); err != nil {
		s.cfg.Log.Debug("metrics clients cut off", "event", "metrics-stopped", "error", err)
		_ = srv.Close() // what is left are clients that do not read; the listener is closed already
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		_ = l.Close()
		return fmt.Errorf("metrics.listen %s: %w", s.cfg.Listen, err)
	}
	return nil
}

// serve hands the listener to the toolkit, which reads its file again at each connection and request.
func (s *Server) serve(srv *http.Server, l net.Listener) error {
	log := slog.New(warnings{s.cfg.Log.Handler()}).With("event", "metrics-web")
	return web.Serve(l, srv, &web.FlagConfig{WebConfigFile: &s.cfg.WebConfigFile}, log)
}

// warnings drops what the toolkit tells below a warning: "Listening on" is said already.
type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && w.Handler.Enabled(ctx, l)
}

func (w warnings) WithAttrs(a []slog.Attr) slog.Handler { return warnings{w.Handler.WithAttrs(a)} }
func (w warnings) WithGroup(name string) slog.Handler   { return warnings{w.Handler.WithGroup(name)} }

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.cfg.Registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(s.cfg.Log.With("event", "metrics-scrape").Handler(), slog.LevelWarn),
		// One bad series must not blind a monitoring system: the rest is served, the error is logged and counted.
		ErrorHandling:       promhttp.ContinueOnError,
		Registry:            s.cfg.Registry,
		MaxRequestsInFlight: maxScrapes,
		Timeout:             scrapeTimeout,
		EnableOpenMetrics:   true,
	}))
	mux.HandleFunc("GET /healthz", s.check("healthy", s.cfg.Healthy))
	mux.HandleFunc("GET /readyz", s.check("ready", s.cfg.Ready))
	mux.Handle("GET /{$}", s.cfg.Page)
	return mux
}

// check answers 200 "ready", or 503 "not ready: why".
func (s *Server) check(what string, ok func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		status, text := http.StatusOK, what
		if err := ok(); err != nil {
			status, text = http.StatusServiceUnavailable, "not "+what+": "+err.Error()
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		fmt.Fprintln(w, text)
	}
}
