package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of the times in /proc/PID/stat: USER_HZ, which is 100 on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// usage is what processes have taken of the machine.
type usage struct {
	cpu       time.Duration // user and system, all threads
	rss, peak int64         // bytes: VmRSS and VmHWM
}

func (u usage) plus(v usage) usage {
	return usage{cpu: u.cpu + v.cpu, rss: u.rss + v.rss, peak: u.peak + v.peak}
}

func readUsage(pid int) (usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return usage{}, err
	}
	var u usage
	var e1, e2, e3 error
	u.cpu, e1 = statCPU(string(stat))
	u.rss, e2 = statusBytes(string(status), "VmRSS")
	u.peak, e3 = statusBytes(string(status), "VmHWM")
	if err := errors.Join(e1, e2, e3); err != nil {
		return u, fmt.Errorf("process %d: %w", pid, err)
	}
	return u, nil
}

// statCPU is utime + stime of /proc/PID/stat (proc(5)). The name before them may hold spaces and parentheses.
func statCPU(stat string) (time.Duration, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("stat has %d fields", len(fields))
	}
	utime, err1 := strconv.ParseInt(fields[11], 10, 64)
	stime, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(utime+stime) * clockTick, errors.Join(err1, err2)
}

// statusBytes is a value of /proc/PID/status that is given in kB.
func statusBytes(status, key string) (int64, error) {
	for line := range strings.Lines(status) {
		value, ok := strings.CutPrefix(line, key+":")
		if !ok {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
		return kib << 10, err
	}
	return 0, fmt.Errorf("status has no %s", key)
}
