package lab

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCandidate(t *testing.T) {
	const policy = "bird:\n  Installed: (none)\n  Candidate: 1:2.14-1\n  Version table:\n"
	if v, err := candidate(policy, Tool{Package: "bird", Version: "2."}); err != nil || v != "1:2.14-1" {
		t.Errorf("%q, %v", v, err)
	}
	_, err := candidate(policy, BIRD16)
	if err == nil || !strings.Contains(err.Error(), "has bird 1:2.14-1, wanted is 1.6.*") {
		t.Errorf("a distribution without BIRD 1.6 is told as %v", err)
	}
	for _, none := range []string{"", "bird:\n  Installed: (none)\n  Candidate: (none)\n"} {
		if v, err := candidate(none, BIRD16); err == nil {
			t.Errorf("candidate %q of %q", v, none)
		}
	}
}

func TestSimulatedInstalls(t *testing.T) {
	got := simulatedInstalls(`NOTE: This is only a simulation!
Inst libssh-gcrypt-4 (0.10.6-0+deb12u3 Debian-Security:12/oldstable-security [amd64])
Inst bird2 [2.0.11-1] (2.0.12-7 Debian:12.15/oldstable [amd64])
Conf bird2 (2.0.12-7 Debian:12.15/oldstable [amd64])
`)
	want := map[string]string{"libssh-gcrypt-4": "0.10.6-0+deb12u3", "bird2": "2.0.12-7"}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestFindSaysWhyNot(t *testing.T) {
	t.Setenv("ROUTED_LAB_CACHE", t.TempDir())
	t.Setenv(envMissing, "the registry is out of reach")
	_, err := BIRD2.Find()
	if !errors.Is(err, ErrNoTool) || !strings.Contains(err.Error(), "bird2: the registry is out of reach") {
		t.Error(err)
	}
}

func TestFetchIsIdempotent(t *testing.T) {
	Need(t, BIRD2)
	found, err := BIRD2.Find()
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(found.root)
	if err != nil {
		t.Fatal(err)
	}
	// There is no network here: fetching what is there already must not need one.
	if err := Fetch(t.Context(), BIRD2); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(found.root)
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("fetched again: %v", err)
	}
}

// Without a package registry Fetch fails, says so, and leaves nothing half done.
func TestFetchWithoutNetwork(t *testing.T) {
	Need(t)
	cache := t.TempDir()
	t.Setenv("ROUTED_LAB_CACHE", cache)
	err := Fetch(t.Context(), BIRD2)
	if !errors.Is(err, ErrNoTool) || !strings.Contains(err.Error(), "bird2") {
		t.Fatalf("error: %v", err)
	}
	if _, err := BIRD2.Find(); err == nil {
		t.Error("found although it could not be fetched")
	}
	left, err := filepath.Glob(filepath.Join(cache, "*", "[^.]*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
