package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/net/netutil"
)

// ErrUnknownCluster is what a [Source] answers for a cluster that the configuration does not name.
var ErrUnknownCluster = errors.New("unknown cluster")

// Source gives the pictures that the server answers with. Its methods are called from many goroutines, must not wait
// for the daemon's loops longer than ctx, and leave Version, Healthy, Routed and Problems to the server.
type Source interface {
	Status(ctx context.Context) (Status, error)
	Peers(ctx context.Context) (Peers, error)
	// Routes gives the routes sorted by prefix, of all clusters when cluster is empty. The sequence is read once,
	// after Routes has returned, at the pace of the client: it must hold no lock.
	Routes(ctx context.Context, cluster string) (iter.Seq[Route], error)
	// Why follows the way to one address, which is never an IPv4 address in IPv6 form and has no zone.
	Why(ctx context.Context, address netip.Addr) (Why, error)
}

const (
	schemaHeader = "Routed-Schema" // SchemaVersion, on every answer

	maxConns      = 32
	headerTimeout = 5 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = 30 * time.Second
	stopTimeout   = 2 * time.Second
)

// Server answers on the admin socket.
type Server struct {
	path   string
	source Source
	log    *slog.Logger
}

// NewServer makes a server for the socket at path; it opens nothing.
func NewServer(path string, source Source, log *slog.Logger) *Server {
	return &Server{path: path, source: source, log: log}
}

// Run listens and serves until ctx ends, removes the socket and returns nil. It returns an error when the socket
// cannot be had (see [Listen]) or is lost.
func (s *Server) Run(ctx context.Context) error {
	l, err := Listen(ctx, s.path)
	if err != nil {
		return err
	}
	return s.Serve(ctx, l)
}

// Serve is Run on a listener that it then owns, for a caller that wants the socket before it starts anything else.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       headerTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(netutil.LimitListener(l, maxConns)) }()
	s.log.Info("admin socket open", "event", "admin-listening", "socket", s.path)
	select {
	case err := <-served:
		return fmt.Errorf("admin.socket %s: %w", s.path, err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := srv.Shutdown(stop); err != nil {
		s.log.Debug("admin clients cut off", "event", "admin-stopped", "error", err)
		_ = srv.Close() // what is left are clients that do not read; the listener is closed already
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin.socket %s: %w", s.path, err)
	}
	return nil
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/status", s.status)
	mux.HandleFunc("/v1/peers", s.peers)
	mux.HandleFunc("/v1/routes", s.routes)
	mux.HandleFunc("/v1/why", s.why)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, http.StatusNotFound, "not_found",
			"no such page: "+r.URL.Path+"; there are /v1/status, /v1/peers, /v1/routes, /v1/why")
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(schemaHeader, strconv.Itoa(SchemaVersion))
		if r.Method != http.MethodGet {
			w.Header().Set("Allow", http.MethodGet)
			s.fail(w, http.StatusMethodNotAllowed, "method_not_allowed", "only GET is allowed, not "+r.Method)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	st, err := s.source.Status(r.Context())
	if err != nil {
		s.failSource(w, "status", err)
		return
	}
	st.Version = SchemaVersion
	st = st.Judged()
	st.BIRD, st.Clusters, st.Mesh.OwnBlocks = list(st.BIRD), list(st.Clusters), list(st.Mesh.OwnBlocks)
	st.HostChecks = list(st.HostChecks)
	k := &st.Kernel
	k.Repairs, k.Changes, k.Errors = list(k.Repairs), list(k.Changes), list(k.Errors)
	s.reply(w, http.StatusOK, st)
}

func (s *Server) peers(w http.ResponseWriter, r *http.Request) {
	p, err := s.source.Peers(r.Context())
	if err != nil {
		s.failSource(w, "peers", err)
		return
	}
	p.Version, p.Peers = SchemaVersion, list(p.Peers)
	s.reply(w, http.StatusOK, p)
}

func (s *Server) routes(w http.ResponseWriter, r *http.Request) {
	at := time.Now()
	routes, err := s.source.Routes(r.Context(), r.URL.Query().Get("cluster"))
	if err != nil {
		s.failSource(w, "routes", err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := writeRoutes(w, at, routes); err != nil {
		s.log.Debug("admin client left", "event", "admin-client-left", "error", err)
	}
}

func (s *Server) why(w http.ResponseWriter, r *http.Request) {
	address, err := ParseAddress(r.URL.Query().Get("address"))
	if err != nil {
		s.fail(w, http.StatusBadRequest, "bad_address", err.Error())
		return
	}
	answer, err := s.source.Why(r.Context(), address)
	if err != nil {
		s.failSource(w, "why "+address.String(), err)
		return
	}
	answer.Version, answer.Steps, answer.Routed = SchemaVersion, list(answer.Steps), answer.Broken() == nil
	s.reply(w, http.StatusOK, answer)
}

// writeRoutes writes a [Routes] one route at a time, a route a line, so that no answer is held in memory whole.
func writeRoutes(w http.ResponseWriter, at time.Time, routes iter.Seq[Route]) error {
	out := bufio.NewWriterSize(patient{w, http.NewResponseController(w)}, 64<<10)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	stamp, err := at.MarshalJSON()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "{\"version\":%d,\"at\":%s,\"routes\":[\n", SchemaVersion, stamp)
	separator := ""
	for r := range routes {
		fmt.Fprint(out, separator) // an error stays in out and comes back from Encode or Flush
		if err := enc.Encode(r); err != nil {
			return fmt.Errorf("route %s: %w", r.Prefix, err)
		}
		separator = ","
	}
	fmt.Fprint(out, "]}\n")
	return out.Flush()
}

// list makes a nil slice an empty one, which is [] in JSON and not null.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// patient gives the client the write timeout for each piece of a long answer, not for the whole.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (p patient) Write(b []byte) (int, error) {
	err := p.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return p.ResponseWriter.Write(b)
}

func (s *Server) reply(w http.ResponseWriter, code int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		s.log.Error("admin answer not encoded", "event", "admin-failed", "error", err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if _, err := w.Write(append(body, '\n')); err != nil {
		s.log.Debug("admin client left", "event", "admin-client-left", "error", err)
	}
}

func (s *Server) failSource(w http.ResponseWriter, what string, err error) {
	if errors.Is(err, ErrUnknownCluster) {
		s.fail(w, http.StatusNotFound, codeUnknownCluster, err.Error())
		return
	}
	s.log.Warn("admin request failed", "event", "admin-failed", "what", what, "error", err)
	s.fail(w, http.StatusInternalServerError, "internal", what+": "+err.Error())
}

const codeUnknownCluster = "unknown_cluster"

func (s *Server) fail(w http.ResponseWriter, status int, code, message string) {
	s.reply(w, status, ErrorReply{Version: SchemaVersion, Error: ErrorDetail{Code: code, Message: message}})
}
