package page

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"routed/admin"
)

const (
	maxReaders = 4 // at a time; more are told to come again
	retryAfter = 1 // seconds
)

// The bounds of the parameter refresh, in seconds.
const (
	minRefresh = 2
	maxRefresh = 3600
)

// Config is what a [Handler] needs.
type Config struct {
	// Read looks at the daemon. It is called from several goroutines, and must end soon after its context.
	Read   func(context.Context) (admin.Status, admin.Peers, error)
	Within time.Duration // how long Read may take
	Log    *slog.Logger
}

// Handler serves the status page, whatever the path is. The query parameter refresh, in seconds, has the browser load it
// again and again.
type Handler struct {
	cfg     Config
	page    *Page
	readers chan struct{} // holds one for each page that is made
}

var _ http.Handler = (*Handler)(nil)

// NewHandler makes a handler; an error is one of the program.
func NewHandler(cfg Config) (*Handler, error) {
	p, err := New()
	if err != nil {
		return nil, err
	}
	return &Handler{cfg: cfg, page: p, readers: make(chan struct{}, maxReaders)}, nil
}

// ServeHTTP answers 200 with the page, or 503 with why there is none.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	refresh := parseRefresh(r)
	code := http.StatusOK
	body, err := h.build(r.Context(), refresh)
	if err != nil {
		h.cfg.Log.Debug("no status page", "event", "status-page", "error", err)
		if errors.Is(err, errBusy) {
			w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
		}
		code = http.StatusServiceUnavailable
		body, err = h.page.trouble(err.Error(), refresh)
	}
	if err != nil {
		h.cfg.Log.Error("status page not written", "event", "status-page", "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	h.reply(w, code, body)
}

var errBusy = errors.New("too many readers at a time: load the page again in a moment")

// build looks at the daemon and makes the page, for a bounded number of readers at a time. The page is sent afterwards, at the
// pace of the reader.
func (h *Handler) build(ctx context.Context, refresh time.Duration) ([]byte, error) {
	select {
	case h.readers <- struct{}{}:
		defer func() { <-h.readers }()
	default:
		return nil, errBusy
	}
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Within)
	defer cancel()
	status, peers, err := h.cfg.Read(ctx)
	if err != nil {
		return nil, fmt.Errorf("the daemon does not say how it is: %w", err)
	}
	var body bytes.Buffer
	err = h.page.Write(&body, status, peers, refresh)
	return body.Bytes(), err
}

func (h *Handler) reply(w http.ResponseWriter, code int, body []byte) {
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("Content-Security-Policy", h.page.Policy())
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	if _, err := w.Write(body); err != nil {
		h.cfg.Log.Debug("reader left", "event", "status-page", "error", err)
	}
}

// parseRefresh is the parameter refresh within its bounds; zero: there is none, or it is no number.
func parseRefresh(r *http.Request) time.Duration {
	n, err := strconv.Atoi(r.URL.Query().Get("refresh"))
	if err != nil || n <= 0 {
		return 0
	}
	return time.Duration(min(max(n, minRefresh), maxRefresh)) * time.Second
}
