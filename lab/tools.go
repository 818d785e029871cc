package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// ErrNoTool says that a tool is neither on this host nor in the cache, and could not be fetched.
var ErrNoTool = errors.New("lab: tool not available")

// Tool is a program the lab runs besides iproute2: one Debian or Ubuntu package, unpacked into the cache with whatever
// shared libraries the host lacks. Each tool has a folder of its own, so packages that conflict live side by side.
type Tool struct {
	Package string // the distribution's name for it
	Version string // what its upstream version must begin with; empty: any
	Program string // the program that must be in it, relative to the package's root
	OnHost  bool   // a copy installed on the host serves as well
	Alone   bool   // what it depends on is not needed to run it
}

// The tools of the lab. Newer distributions have dropped BIRD 1.6; Fetch then says so, and callers skip.
var (
	BIRD16     = Tool{Package: "bird", Version: "1.6.", Program: "usr/sbin/bird"}         //nolint:gochecknoglobals // a constant of struct type
	BIRD2      = Tool{Package: "bird2", Version: "2.", Program: "usr/sbin/bird"}          //nolint:gochecknoglobals // a constant of struct type
	FRR        = Tool{Package: "frr", Program: "usr/lib/frr/zebra"}                       //nolint:gochecknoglobals // a constant of struct type
	GoBGP      = Tool{Package: "gobgpd", Program: "usr/bin/gobgpd"}                       //nolint:gochecknoglobals // a constant of struct type
	Ping       = Tool{Package: "iputils-ping", Program: "bin/ping", OnHost: true}         //nolint:gochecknoglobals // a constant of struct type
	NFT        = Tool{Package: "nftables", Program: "usr/sbin/nft", OnHost: true}         //nolint:gochecknoglobals // a constant of struct type
	SSH        = Tool{Package: "openssh-client", Program: "usr/bin/ssh", OnHost: true}    //nolint:gochecknoglobals // a constant of struct type
	SSHD       = Tool{Package: "openssh-server", Program: "usr/sbin/sshd"}                //nolint:gochecknoglobals // a constant of struct type
	ShellCheck = Tool{Package: "shellcheck", Program: "usr/bin/shellcheck", OnHost: true} //nolint:gochecknoglobals // a constant of struct type

	// Chromium opens the status page.
	Chromium = Tool{Package: "chromium-headless-shell", Program: "usr/lib/chromium/chromium-headless-shell", OnHost: true} //nolint:gochecknoglobals // a constant of struct type
	// IPTables has both of them, iptables-nft and iptables-legacy.
	IPTables = Tool{Package: "iptables", Program: "usr/sbin/xtables-nft-multi", OnHost: true} //nolint:gochecknoglobals // a constant of struct type
	IPSet    = Tool{Package: "ipset", Program: "usr/sbin/ipset", OnHost: true}                //nolint:gochecknoglobals // a constant of struct type

	// Bubblewrap runs a container as a container runtime does.
	Bubblewrap = Tool{Package: "bubblewrap", Program: "usr/bin/bwrap", OnHost: true} //nolint:gochecknoglobals // a constant of struct type

	// Prometheus brings promtool, which tests the alerts. It depends on the fonts and scripts of its web pages.
	Prometheus = Tool{Package: "prometheus", Program: "usr/bin/promtool", Alone: true} //nolint:gochecknoglobals // a constant of struct type
)

// Found is a tool that is there.
type Found struct {
	root string // where the package is unpacked; empty: installed on the host
}

// Find looks the tool up without fetching anything. The error wraps [ErrNoTool] and says why the tool is missing, if
// an attempt to fetch it failed in this run.
func (t Tool) Find() (Found, error) {
	if t == StandIn {
		return Found{}, nil
	}
	for _, cache := range cacheDirs() {
		root := filepath.Join(cache, t.Package)
		if _, err := os.Stat(filepath.Join(root, t.Program)); err == nil {
			return Found{root: root}, nil
		}
	}
	if t.OnHost {
		if _, err := exec.LookPath(filepath.Base(t.Program)); err == nil {
			return Found{}, nil
		}
	}
	why := "run lab.Fetch outside the sandbox first"
	if s := os.Getenv(envMissing); s != "" {
		why = s
	}
	return Found{}, fmt.Errorf("%w: %s: %s", ErrNoTool, t.Package, why)
}

// Path is the program's path; name is relative to the package's root, as "usr/sbin/birdc".
func (f Found) Path(name string) string {
	if f.root == "" {
		return filepath.Base(name)
	}
	return filepath.Join(f.root, name)
}

// CopyTo puts the files of the tool's package, and the libraries that the host lacks, below root, as an installation would.
// For a tool of the host nothing is to be done. It returns the tool as it is there.
func (f Found) CopyTo(ctx context.Context, root string) (Found, error) {
	if f.root == "" {
		return f, nil
	}
	_, err := output(exec.CommandContext(ctx, "sh", "-c", `tar -C "$0" -cf - . | tar -C "$1" --keep-directory-symlink -xf -`, f.root, root))
	return Found{root: root}, err
}

// Env is what must be added to the environment of its programs: where the libraries are that the host lacks.
func (f Found) Env() []string {
	if f.root == "" {
		return nil
	}
	var dirs []string
	for _, pattern := range []string{"lib/*-linux-*", "usr/lib/*-linux-*", "usr/lib/*-linux-*/frr", "usr/lib/*-linux-*/pulseaudio", "usr/lib"} {
		found, err := filepath.Glob(filepath.Join(f.root, pattern))
		if err == nil { // the patterns are well-formed
			dirs = append(dirs, found...)
		}
	}
	return []string{"LD_LIBRARY_PATH=" + strings.Join(dirs, ":")}
}

// Fetch makes the tools available, those that are missing; it costs a stat a tool when nothing is. It needs Debian or
// Ubuntu and a package registry, but no privilege, and changes nothing on the host. Several processes may do it at once.
// The error joins one for each tool that could not be had, each wrapping [ErrNoTool].
func Fetch(ctx context.Context, tools ...Tool) error {
	var missing []Tool
	for _, t := range tools {
		if _, err := t.Find(); err != nil {
			missing = append(missing, t)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	cache, err := writableCache()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoTool, err)
	}
	unlock, err := lockDir(cache)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoTool, err)
	}
	defer unlock()
	apt, err := newAPT(ctx, cache)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoTool, err)
	}
	defer apt.close()
	var errs []error
	for _, t := range missing {
		if _, err := t.Find(); err == nil {
			continue // another process fetched it while we waited for the lock
		}
		if err := apt.fetch(ctx, t, filepath.Join(cache, t.Package)); err != nil {
			errs = append(errs, fmt.Errorf("%w: %s: %w", ErrNoTool, t.Package, err))
		}
	}
	return errors.Join(errs...)
}

// cacheDirs are the places unpacked tools may be, the first to be written to if it can be: the checkout's cache folder,
// then the user's own. ROUTED_LAB_CACHE overrides both. What is in there fits one release of the distribution only.
func cacheDirs() []string {
	host := osRelease() + "-" + runtime.GOARCH
	if dir := os.Getenv("ROUTED_LAB_CACHE"); dir != "" {
		return []string{filepath.Join(dir, host)}
	}
	var dirs []string
	if root := checkout(); root != "" {
		dirs = append(dirs, filepath.Join(root, ".cache", "lab", host))
	}
	if dir, err := os.UserCacheDir(); err == nil {
		dirs = append(dirs, filepath.Join(dir, "routed-lab", host))
	}
	return dirs
}

func writableCache() (string, error) {
	var errs []error
	for _, dir := range cacheDirs() {
		err := os.MkdirAll(dir, 0o755)
		if err == nil {
			var probe string
			if probe, err = os.MkdirTemp(dir, ".probe-"); err == nil {
				return dir, os.Remove(probe)
			}
		}
		errs = append(errs, err)
	}
	return "", fmt.Errorf("no cache folder can be written: %w", errors.Join(errs...))
}

// checkout is the folder of the go.mod above the working directory, or empty.
func checkout() string {
	dir, err := os.Getwd()
	for err == nil {
		if _, statErr := os.Stat(filepath.Join(dir, "go.mod")); statErr == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			break
		}
		dir = up
	}
	return ""
}

// osRelease is the distribution and its version as os-release(5) has them, such as "debian-12".
func osRelease() string {
	data, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "unknown"
	}
	field := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			field[k] = strings.Trim(v, `"'`)
		}
	}
	version := field["VERSION_ID"]
	if version == "" {
		version = field["VERSION_CODENAME"] // Debian testing has no number
	}
	return field["ID"] + "-" + version
}
