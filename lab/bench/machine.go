package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// machine is where the figures come from.
type machine struct {
	cores   int
	model   string
	memory  int64 // bytes
	kernel  string
	distro  string
	golang  string
	routed  string
	load    string // at the begin
	missing []string
}

func readMachine() (machine, error) {
	m := machine{cores: runtime.NumCPU(), golang: runtime.Version(), load: load()}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return m, fmt.Errorf("uname: %w", err)
	}
	m.kernel = unix.ByteSliceToString(u.Release[:])
	var si unix.Sysinfo_t
	if err := unix.Sysinfo(&si); err != nil {
		return m, fmt.Errorf("sysinfo: %w", err)
	}
	m.memory = int64(si.Totalram) * int64(si.Unit)
	m.model = field("/proc/cpuinfo", "model name", ":")
	m.distro = strings.Trim(field("/etc/os-release", "PRETTY_NAME", "="), `"`)
	return m, nil
}

// load is the load average of one minute.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

// field is the first value of a key in a file of lines KEY SEPARATOR VALUE; empty when there is none.
func field(path, key, separator string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, separator); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
