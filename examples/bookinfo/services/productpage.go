package services

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
)

//go:embed productpage.html
var productPage string

// The sentences that a reader sees when a service does not answer; the original's.
const (
	NoDetails = "Sorry, product details are currently unavailable for this book."
	NoReviews = "Sorry, product reviews are currently unavailable for this book."
	NoRatings = "Ratings service is currently unavailable"
)

// shop is the product page's service.
type shop struct {
	details, reviews *Endpoints
	page             *template.Template
	log              *slog.Logger
}

// NewProductPage is the product page: GET /productpage, and what it knows as JSON at GET /api/v1/products/0/reviews.
func NewProductPage(details, reviews *Endpoints, log *slog.Logger) (http.Handler, error) {
	page, err := template.New("productpage").Funcs(template.FuncMap{"stars": stars, "rest": rest}).Parse(productPage)
	if err != nil {
		return nil, err
	}
	s := &shop{details: details, reviews: reviews, page: page, log: log}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", healthy)
	mux.HandleFunc("GET /productpage", s.show)
	mux.HandleFunc("GET /api/v1/products/0/reviews", s.api)
	mux.Handle("GET /{$}", http.RedirectHandler("/productpage", http.StatusFound))
	return mux, nil
}

const mostStars = 5

// stars makes n of them countable.
func stars(n int) ([]struct{}, error) {
	if n < 0 || n > mostStars {
		return nil, fmt.Errorf("%d stars", n)
	}
	return make([]struct{}, n), nil
}

// rest is what n stars lack of all.
func rest(n int) ([]struct{}, error) { return stars(mostStars - n) }

// show writes the page, with an apology in the place of whatever did not come.
func (s *shop) show(w http.ResponseWriter, r *http.Request) {
	view := struct {
		Details              *Details
		Reviews              *Reviews
		NoDetails, NoReviews string
	}{NoDetails: NoDetails, NoReviews: NoReviews}
	var details Details
	if err := s.details.get(r.Context(), "/details/0", &details); err != nil {
		s.log.Warn("no details", "event", "call-failed", "error", err)
	} else {
		view.Details = &details
	}
	var reviews Reviews
	if err := s.reviews.get(r.Context(), "/reviews/0", &reviews); err != nil {
		s.log.Warn("no reviews", "event", "call-failed", "error", err)
	} else {
		view.Reviews = &reviews
	}
	var body bytes.Buffer
	if err := s.page.Execute(&body, view); err != nil {
		s.log.Error("page not written", "event", "page-failed", "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(body.Bytes()) // a reader that has gone away is nobody's error
}

// api answers with the reviews alone.
func (s *shop) api(w http.ResponseWriter, r *http.Request) {
	var reviews Reviews
	if err := s.reviews.get(r.Context(), "/reviews/0", &reviews); err != nil {
		s.log.Warn("no reviews", "event", "call-failed", "error", err)
		answer(w, http.StatusBadGateway, map[string]string{"error": NoReviews})
		return
	}
	answer(w, http.StatusOK, reviews)
}
