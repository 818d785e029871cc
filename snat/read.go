package snat

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Host is where to read.
type Host struct {
	Proc     fs.FS    // its /proc
	Programs []string // the folders where its iptables may be
}

// Read takes a picture of the network namespace of the thread that calls it. Where the older iptables has rules, they are
// read with its own program, if it is there: no other interface to them is stable.
func (h Host) Read(ctx context.Context) Rules {
	var r Rules
	k, err := openKernel(ctx)
	if err == nil {
		r.tables, err = k.tables()
	}
	if err != nil {
		r.Gaps = append(r.Gaps, Gap{What: "the rules of nf_tables", Err: err, Look: "nft list ruleset"})
	}
	set := func(name string) *addrSet { return &addrSet{name: name, unread: "no netfilter socket"} }
	if k != nil {
		set = k.ipsetNamed
		defer func() { _ = k.close() }()
	}
	for _, l := range legacies() {
		t, has, err := l.read(ctx, h, set)
		switch {
		case err != nil:
			r.Gaps = append(r.Gaps, Gap{What: "the rules of " + l.program, Err: err, Look: l.program + "-save -t nat"})
		case has:
			r.tables = append(r.tables, t)
		}
	}
	return r
}

// legacy is the older iptables of one family.
type legacy struct {
	family  family
	names   string // the file that lists its tables
	program string
	older   string // its name where there is no other iptables
}

func legacies() []legacy {
	return []legacy{
		{familyIPv4, "net/ip_tables_names", "iptables-legacy", "iptables"},
		{familyIPv6, "net/ip6_tables_names", "ip6tables-legacy", "ip6tables"},
	}
}

// read reads the rules, if the kernel has any. To ask the program where there are none would make the kernel load modules.
func (l legacy) read(ctx context.Context, h Host, set func(string) *addrSet) (t table, has bool, err error) {
	names, err := fs.ReadFile(h.Proc, l.names)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return table{}, false, nil
	case err != nil:
		return table{}, false, err
	case !slices.Contains(strings.Fields(string(names)), "nat"):
		return table{}, false, nil
	}
	text, err := l.save(ctx, h.Programs)
	if err != nil {
		return table{}, false, err
	}
	seen := make(map[string]*addrSet)
	return parseSave(l.family, text, func(name string) *addrSet {
		if seen[name] == nil {
			seen[name] = set(name)
		}
		return seen[name]
	}), true, nil
}

const (
	programTimeout = 5 * time.Second
	maxOutput      = 32 << 20
)

var (
	errNoProgram = errors.New("its program is not here")
	errTooLong   = errors.New("they are too many")
)

// save runs iptables-save. Its older name is that of the newer one as well, which says so in its first line.
func (l legacy) save(ctx context.Context, dirs []string) (string, error) {
	for _, name := range []string{l.program, l.older} {
		for _, dir := range dirs {
			path := filepath.Join(dir, name+"-save")
			if _, err := exec.LookPath(path); err != nil {
				continue
			}
			text, err := output(ctx, path, "-t", "nat")
			first, _, _ := strings.Cut(text, "\n")
			if err == nil && name == l.older && strings.Contains(first, "nf_tables") {
				continue
			}
			return text, err
		}
	}
	return "", errNoProgram
}

// output runs a program and returns what it writes.
func output(ctx context.Context, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, programTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.WaitDelay = time.Second
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	var out bytes.Buffer
	n, err := io.Copy(&out, io.LimitReader(pipe, maxOutput))
	if n == maxOutput {
		cancel()
		return "", errors.Join(errTooLong, err, cmd.Wait())
	}
	if err := errors.Join(err, cmd.Wait()); err != nil {
		return "", fmt.Errorf("%s: %w", program, err)
	}
	return out.String(), nil
}
