package main

import (
	"math"
	"testing"
)

func TestQuantile(t *testing.T) {
	hundred := make(samples, 100)
	for i := range hundred {
		hundred[len(hundred)-1-i] = float64(i + 1) // 100, 99, … 1
	}
	for _, c := range []struct {
		of   samples
		q    float64
		want float64
	}{
		{hundred, 0.99, 99},
		{hundred, 0.5, 50},
		{hundred, 0, 1},
		{hundred, 1, 100},
		{samples{7}, 0.99, 7},
		{samples{3, 1, 2}, 0.99, 3},
	} {
		if got := c.of.quantile(c.q); got != c.want {
			t.Errorf("quantile %g of %d samples: %g, want %g", c.q, len(c.of), got, c.want)
		}
	}
	if hundred[0] != 100 {
		t.Error("the samples were put in another order")
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		of   samples
		want float64
	}{{samples{5}, 5}, {samples{4, 1}, 2.5}, {samples{9, 1, 2}, 2}, {samples{8, 1, 2, 3}, 2.5}} {
		if got := c.of.median(); got != c.want {
			t.Errorf("median of %v: %g, want %g", c.of, got, c.want)
		}
	}
	if !math.IsNaN(samples(nil).median()) || !math.IsNaN(samples(nil).quantile(0.5)) {
		t.Error("nothing was measured, and yet there is a figure")
	}
}
