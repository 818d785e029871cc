package services

import (
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
)

// NewGateway is the ingress gateway: it passes every request on to the product page.
func NewGateway(to *Endpoints, log *slog.Logger) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: to.next().String()})
			r.SetXForwarded()
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			log.Warn("no product page", "event", "call-failed", "error", err)
			http.Error(w, "the product page does not answer", http.StatusBadGateway)
		},
		Transport: &http.Transport{ResponseHeaderTimeout: to.client.Timeout},
		ErrorLog:  slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
