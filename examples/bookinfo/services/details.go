package services

import "net/http"

// Details is what the details service knows of the book.
type Details struct {
	ID        int    `json:"id"`
	Author    string `json:"author"`
	Year      int    `json:"year"`
	Type      string `json:"type"`
	Pages     int    `json:"pages"`
	Publisher string `json:"publisher"`
	Language  string `json:"language"`
	ISBN10    string `json:"ISBN-10"`
	ISBN13    string `json:"ISBN-13"`
	From      Origin `json:"from"`
}

// NewDetails is the details service: GET /details/0.
func NewDetails(id Identity) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", healthy)
	mux.HandleFunc("GET /details/0", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, Details{
			Author: "William Shakespeare", Year: 1595, Type: "paperback", Pages: 200,
			Publisher: "PublisherA", Language: "English", ISBN10: "1234567890", ISBN13: "123-1234567890",
			From: id.origin(r),
		})
	})
	return mux
}
