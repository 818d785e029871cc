package admin

import "testing"

func TestTook(t *testing.T) {
	for s, want := range map[float64]string{
		0: "0s", 0.000451234: "451µs", 0.00125: "1.25ms", 0.0123456: "12.3ms", 2.3456: "2.35s", 75: "1m15s",
	} {
		if got := Took(s); got != want {
			t.Errorf("Took(%v) = %q, want %q", s, got, want)
		}
	}
}
