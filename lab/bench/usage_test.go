package main

import (
	"os"
	"testing"
	"time"
)

func TestStatCPU(t *testing.T) {
	const stat = "4711 (a (strange) name) S 1 4711 4711 0 -1 4194560 1500 0 3 0 123 45 6 7 20 0 9 0 100 1000 200 18446744073709551615"
	if got, err := statCPU(stat); err != nil || got != 1680*time.Millisecond {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := statCPU("4711 (short) S 1"); err == nil {
		t.Error("no error for a line that is cut off")
	}
}

func TestStatusBytes(t *testing.T) {
	const status = "Name:\tbird\nVmHWM:\t   14312 kB\nVmRSS:\t   13000 kB\n"
	if got, err := statusBytes(status, "VmHWM"); err != nil || got != 14312<<10 {
		t.Errorf("%d, %v", got, err)
	}
	if _, err := statusBytes(status, "VmSwap"); err == nil {
		t.Error("no error for what is not there")
	}
}

func TestReadUsageOfOurselves(t *testing.T) {
	u, err := readUsage(os.Getpid())
	if err != nil || u.rss <= 0 || u.peak < u.rss {
		t.Errorf("%+v, %v", u, err)
	}
}
