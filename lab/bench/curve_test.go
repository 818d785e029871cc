package main

import (
	"testing"
	"time"
)

func at(ms int) time.Time { return time.Unix(1000, 0).Add(time.Duration(ms) * time.Millisecond) }

func TestCurve(t *testing.T) {
	c := curve{{at(0), 0}, {at(100), 0}, {at(140), 400}, {at(240), 900}, {at(300), 1000}}
	for _, want := range []struct {
		count int
		ms    int
	}{{0, 0}, {10, 101}, {400, 140}, {650, 190}, {1000, 300}} {
		got, ok := c.reached(want.count)
		if !ok || !got.Equal(at(want.ms)) {
			t.Errorf("%d routes at %v (%t), want %v", want.count, got, ok, at(want.ms))
		}
	}
	if _, ok := c.reached(1001); ok {
		t.Error("more routes than were seen")
	}
	if got, ok := c.middle(1000); !ok || got != 193*time.Millisecond { // from 101 to 294
		t.Errorf("1 %% to 99 %%: %v (%t)", got, ok)
	}
	if _, ok := c[:4].middle(1000); ok {
		t.Error("99 % although only 90 % came")
	}
}
