package services

import "net/http"

// Ratings is how many stars each reviewer gives.
type Ratings struct {
	ID      int            `json:"id"`
	Ratings map[string]int `json:"ratings"`
	From    Origin         `json:"from"`
}

const (
	reviewer1 = "Reviewer1"
	reviewer2 = "Reviewer2"
)

// NewRatings is the ratings service: GET /ratings/0.
func NewRatings(id Identity) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", healthy)
	mux.HandleFunc("GET /ratings/0", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, Ratings{Ratings: map[string]int{reviewer1: 5, reviewer2: 4}, From: id.origin(r)})
	})
	return mux
}
