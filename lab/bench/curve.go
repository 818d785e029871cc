package main

import "time"

// reading is one look at how many routes there are.
type reading struct {
	at    time.Time
	count int
}

// curve is a growing number of routes over time.
type curve []reading

// reached is when the curve reached n, on the straight line between the readings around it; false if it did not.
func (c curve) reached(n int) (time.Time, bool) {
	for i, r := range c {
		if r.count < n {
			continue
		}
		if i == 0 {
			return r.at, true
		}
		before := c[i-1]
		share := float64(n-before.count) / float64(r.count-before.count)
		return before.at.Add(time.Duration(share * float64(r.at.Sub(before.at)))), true
	}
	return time.Time{}, false
}

// middle is the time from the first hundredth of n routes to the last but one; false if it was not reached.
func (c curve) middle(n int) (time.Duration, bool) {
	from, ok1 := c.reached((n + 99) / 100)
	to, ok2 := c.reached(n * 99 / 100)
	return to.Sub(from), ok1 && ok2
}
