package services

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
)

// Reviews is what readers say of the book, with their stars where the version has them.
type Reviews struct {
	ID      string   `json:"id"`
	Version string   `json:"version"`
	Reviews []Review `json:"reviews"`
	From    Origin   `json:"from"`
	Ratings *Origin  `json:"ratingsFrom,omitempty"` // who told the stars; none: nobody was asked, or nobody answered
}

// Review is one reader's.
type Review struct {
	Reviewer string  `json:"reviewer"`
	Text     string  `json:"text"`
	Rating   *Rating `json:"rating,omitempty"` // v2 and v3
}

// Rating is stars, or why there are none.
type Rating struct {
	Stars int    `json:"stars,omitempty"`
	Color string `json:"color,omitempty"`
	Error string `json:"error,omitempty"`
}

// NewReviews is the reviews service, GET /reviews/0, in version v1 (no stars), v2 (black ones) or v3 (red ones). Ratings
// are asked by v2 and v3.
func NewReviews(id Identity, version string, ratings *Endpoints, log *slog.Logger) (http.Handler, error) {
	color, known := map[string]string{"v1": "", "v2": "black", "v3": "red"}[version]
	switch {
	case !known:
		return nil, fmt.Errorf("reviews version %q: must be v1, v2 or v3", version)
	case color != "" && ratings == nil:
		return nil, fmt.Errorf("reviews %s needs the endpoints of ratings", version)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", healthy)
	mux.HandleFunc("GET /reviews/0", func(w http.ResponseWriter, r *http.Request) {
		reviews := Reviews{ID: "0", Version: version, From: id.origin(r), Reviews: []Review{
			{Reviewer: reviewer1, Text: "Two pairs of twins, one town, and nobody who asks the right question. I laughed out loud."},
			{Reviewer: reviewer2, Text: "Quick and light. It does not have the depth of the later plays, nor does it pretend to."},
		}}
		if color != "" {
			reviews.rate(r.Context(), ratings, color, log)
		}
		answer(w, http.StatusOK, reviews)
	})
	return mux, nil
}

// rate asks for the stars. Reviews without them are better than none.
func (v *Reviews) rate(ctx context.Context, from *Endpoints, color string, log *slog.Logger) {
	var ratings Ratings
	err := from.get(ctx, "/ratings/0", &ratings)
	if err != nil {
		log.Warn("no ratings", "event", "call-failed", "error", err)
	} else {
		v.Ratings = &ratings.From
	}
	for i := range v.Reviews {
		review := &v.Reviews[i]
		if err != nil {
			review.Rating = &Rating{Error: NoRatings}
			continue
		}
		review.Rating = &Rating{Stars: ratings.Ratings[review.Reviewer], Color: color}
	}
}
