package page

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// load reads an answer of the daemon as package admin's tests fixed it.
func load[T any](tb testing.TB, name string) T {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("..", "admin", "testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	var v T
	if err := json.Unmarshal(data, &v); err != nil {
		tb.Fatal(err)
	}
	return v
}
