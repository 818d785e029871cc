package main

import (
	"context"
	"fmt"
	"net/netip"
)

// Of all pages, each version must have at least and at most this share: the document says evenly.
const (
	leastShare = 0.25
	mostShare  = 0.42
)

// spread counts what was seen.
type spread struct {
	pages       int
	unavailable int            // no reviews at all
	starless    int            // reviews without the stars that belong to the version
	versions    map[string]int // all that have reviews
}

// read opens the page n times. Every answer must come from the pod that it should come from, stars included.
func (r reader) read(ctx context.Context, n int, pods []pod) (spread, error) {
	s := spread{versions: map[string]int{}}
	for range n {
		seen, err := r.open(ctx)
		if err != nil {
			return s, err
		}
		if err := seen.check(pods); err != nil {
			return s, err
		}
		s.count(seen)
	}
	return s, nil
}

func (s *spread) count(seen sight) {
	s.pages++
	if seen.version == "" {
		s.unavailable++
		return
	}
	s.versions[seen.version]++
	if seen.starless {
		s.starless++
	}
}

// check compares a page with where the pods are. The addresses on it are those of the connections: when each end sees the
// other's own address, nothing has rewritten one on the way.
func (s sight) check(pods []pod) error {
	if s.version == "" {
		return nil
	}
	reviews := find(pods, "reviews-"+s.version)
	if err := s.reviews.is(reviews); err != nil {
		return err
	}
	if s.starless {
		return nil
	}
	stars := map[string]string{"v1": "", "v2": "black", "v3": "red"}[s.version]
	if s.stars != stars {
		return fmt.Errorf("reviews %s with %q stars, want %q", s.version, s.stars, stars)
	}
	if stars == "" {
		return nil
	}
	if err := s.ratings.is(find(pods, "ratings-v1")); err != nil {
		return err
	}
	return same("who asked for the stars of "+s.version, s.asker, reviews.addr)
}

func (e end) is(p pod) error {
	if e.pod != p.name || e.cluster != p.cluster {
		return fmt.Errorf("answered by %s of %s, want %s of %s", e.pod, e.cluster, p.name, p.cluster)
	}
	return same("the address of "+p.name, e.addr, p.addr)
}

func same(what string, got, want netip.Addr) error {
	if got != want {
		return fmt.Errorf("%s is %s, want %s", what, got, want)
	}
	return nil
}

// even is nil when each version has its share, and every page its reviews.
func (s spread) even() error {
	if s.unavailable > 0 {
		return fmt.Errorf("%d of %d pages have no reviews", s.unavailable, s.pages)
	}
	if s.starless > 0 {
		return fmt.Errorf("%d of %d pages have no stars", s.starless, s.pages)
	}
	for _, v := range []string{"v1", "v2", "v3"} {
		if err := s.share(v, s.versions[v]); err != nil {
			return err
		}
	}
	return nil
}

// cut is nil when v3's share of the pages has no reviews, and those of v1 and v2 have theirs; their stars they have when
// ratings can be reached.
func (s spread) cut() error {
	if n := s.versions["v3"]; n > 0 {
		return fmt.Errorf("%d of %d pages have the reviews of v3", n, s.pages)
	}
	for _, v := range []string{"v1", "v2"} {
		if err := s.share(v, s.versions[v]); err != nil {
			return err
		}
	}
	return s.share("no reviews", s.unavailable)
}

func (s spread) share(what string, n int) error {
	if share := float64(n) / float64(s.pages); share < leastShare || share > mostShare {
		return fmt.Errorf("%s: %d of %d pages, want between %.0f %% and %.0f %%", what, n, s.pages, leastShare*100, mostShare*100)
	}
	return nil
}

// line is the spread as a reader of the story sees it.
func (s spread) line() string {
	percent := func(n int) string { return fmt.Sprintf("%d (%.0f %%)", n, 100*float64(n)/float64(s.pages)) }
	text := fmt.Sprintf("%d pages: v1 no stars %s, v2 black stars %s, v3 red stars %s",
		s.pages, percent(s.versions["v1"]), percent(s.versions["v2"]), percent(s.versions["v3"]))
	if s.starless > 0 {
		text += ", of these without their stars " + percent(s.starless)
	}
	if s.unavailable > 0 {
		text += ", no reviews at all " + percent(s.unavailable)
	}
	return text
}
