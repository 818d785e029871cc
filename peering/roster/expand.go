package roster

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// maxRange bounds what one line of an inventory may expand to.
const maxRange = 4096

// expand writes out the ranges of a host pattern: 9.111.255.[21:29], node[01:10], rack[a:c]-[1:9:2].
// As in Ansible both ends belong to the range, and a first number with leading zeros sets the width of all.
func expand(pattern string) ([]string, error) {
	if len(pattern) > maxName {
		return nil, fmt.Errorf("a host of %d characters; at most %d", len(pattern), maxName)
	}
	out := []string{""}
	rest := pattern
	for {
		before, after, found := strings.Cut(rest, "[")
		inner, tail, closed := strings.Cut(after, "]")
		if !found || isBracketedAddr(inner) {
			return join(out, []string{rest}), nil
		}
		if !closed {
			return nil, fmt.Errorf("in %q a bracket is not closed", pattern)
		}
		values, err := rangeValues(inner)
		if err != nil {
			return nil, fmt.Errorf("in %q: %w", pattern, err)
		}
		if len(out)*len(values) > maxRange {
			return nil, fmt.Errorf("%q stands for more than %d hosts", pattern, maxRange)
		}
		out = join(join(out, []string{before}), values)
		rest = tail
	}
}

func isBracketedAddr(inner string) bool {
	a, err := netip.ParseAddr(inner)
	return err == nil && a.Is6()
}

// join appends every tail to every head, heads outermost.
func join(heads, tails []string) []string {
	out := make([]string, 0, len(heads)*len(tails))
	for _, h := range heads {
		for _, t := range tails {
			out = append(out, h+t)
		}
	}
	return out
}

// rangeValues expands FIRST:LAST or FIRST:LAST:STEP, of numbers or of single letters.
func rangeValues(inner string) ([]string, error) {
	parts := strings.Split(inner, ":")
	if len(parts) != 2 && len(parts) != 3 {
		return nil, fmt.Errorf("[%s] is not a range FIRST:LAST or FIRST:LAST:STEP", inner)
	}
	step := 1
	if len(parts) == 3 {
		n, err := strconv.ParseUint(parts[2], 10, 31)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("[%s]: the step is not a number from 1", inner)
		}
		step = int(n)
	}
	first, last, show, err := rangeEnds(parts[0], parts[1])
	if err != nil {
		return nil, fmt.Errorf("[%s]: %w", inner, err)
	}
	if first > last {
		return nil, fmt.Errorf("[%s] begins after its end", inner)
	}
	if (last-first)/step >= maxRange {
		return nil, fmt.Errorf("[%s] has more than %d values", inner, maxRange)
	}
	out := make([]string, 0, (last-first)/step+1)
	for v := first; v <= last; v += step {
		out = append(out, show(v))
	}
	return out, nil
}

// rangeEnds reads both ends as numbers or as letters of one case, and gives how a value between them is written.
func rangeEnds(first, last string) (from, to int, show func(int) string, err error) {
	a, errA := strconv.ParseUint(first, 10, 31)
	b, errB := strconv.ParseUint(last, 10, 31)
	switch {
	case errA == nil && errB == nil:
		width := 0
		if first[0] == '0' {
			width = len(first)
		}
		return int(a), int(b), func(v int) string { return fmt.Sprintf("%0*d", width, v) }, nil
	case isLetter(first) && isLetter(last) && (first[0] < 'a') == (last[0] < 'a'):
		return int(first[0]), int(last[0]), func(v int) string { return string(rune(v)) }, nil
	default:
		return 0, 0, nil, fmt.Errorf("%s and %s are not two numbers or two letters", first, last)
	}
}

func isLetter(s string) bool {
	return len(s) == 1 && (s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z')
}
