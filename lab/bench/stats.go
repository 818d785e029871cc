package main

import (
	"math"
	"slices"
)

// samples are measurements of one thing, in the order they were made. An empty one was not measured.
type samples []float64

// quantile is the smallest sample that at least the share q of all do not exceed (nearest rank); NaN when there is none.
func (s samples) quantile(q float64) float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// median is the middle sample, or the mean of the two in the middle.
func (s samples) median() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

func (s samples) min() float64 { return s.quantile(0) }
func (s samples) max() float64 { return s.quantile(1) }
