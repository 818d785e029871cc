package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// fetchTimeout bounds all of one apt or dpkg call.
const fetchTimeout = 3 * time.Minute

// aptConf keeps apt's state and cache in folders of our own, so that it works as an ordinary user, and drops the hooks
// that distributions hang on an update: those would touch the host. What is installed is read from the host, because
// only what it lacks is wanted.
const aptConf = `#clear APT::Update;
#clear DPkg;
Dir::State "%[1]s/state";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "%[1]s/cache";
Debug::NoLocking "1";
APT::Sandbox::User "";
APT::Get::List-Cleanup "0";
Acquire::Retries "1";
Acquire::http::Timeout "15";
Acquire::https::Timeout "15";
`

// apt downloads packages by name and unpacks them. It resolves dependencies by apt's own simulation of an installation.
type apt struct {
	dir     string // ours, for its life
	lists   string // Dir::State::lists
	updated bool
}

func newAPT(ctx context.Context, cache string) (*apt, error) {
	for _, program := range []string{"apt-get", "dpkg"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, fmt.Errorf("the lab's tools come from Debian or Ubuntu packages: %w", err)
		}
	}
	dir, err := os.MkdirTemp(cache, ".apt-")
	if err != nil {
		return nil, err
	}
	a := &apt{dir: dir, lists: "/var/lib/apt/lists"}
	err = errors.Join(
		os.MkdirAll(filepath.Join(dir, "state", "lists", "partial"), 0o755),
		os.MkdirAll(filepath.Join(dir, "cache", "archives", "partial"), 0o755),
		os.WriteFile(filepath.Join(dir, "apt.conf"), fmt.Appendf(nil, aptConf, dir), 0o644),
	)
	if err != nil {
		a.close()
		return nil, err
	}
	return a, ctx.Err()
}

func (a *apt) close() { _ = os.RemoveAll(a.dir) } // leftovers hurt nobody: the next run has its own

// fetch puts the tool's package and what it depends on and the host lacks into root, all or nothing. The host's own
// package lists are tried first, then lists fetched anew: the host's may be empty or outdated.
func (a *apt) fetch(ctx context.Context, t Tool, root string) error {
	err := a.tryFetch(ctx, t, root)
	if err == nil || a.updated {
		return err
	}
	if updateErr := a.update(ctx); updateErr != nil {
		return errors.Join(err, updateErr)
	}
	return a.tryFetch(ctx, t, root)
}

func (a *apt) update(ctx context.Context) error {
	a.updated = true
	a.lists = filepath.Join(a.dir, "state", "lists")
	_, err := a.get(ctx, "", "-q", "update")
	return err
}

func (a *apt) tryFetch(ctx context.Context, t Tool, root string) error {
	packages, err := a.resolve(ctx, t)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(a.dir, "fetch-")
	if err != nil {
		return err
	}
	if _, err := a.get(ctx, work, append([]string{"-q", "download"}, packages...)...); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil {
		return err
	}
	unpacked := filepath.Join(work, "root")
	for _, deb := range debs {
		if _, err := runFetch(ctx, "", "dpkg", "-x", deb, unpacked); err != nil {
			return err
		}
	}
	if _, err := os.Stat(filepath.Join(unpacked, t.Program)); err != nil {
		return fmt.Errorf("%v hold no %s", packages, t.Program)
	}
	return os.Rename(unpacked, root)
}

// resolve lists the packages to unpack as NAME=VERSION, the tool's own first.
func (a *apt) resolve(ctx context.Context, t Tool) ([]string, error) {
	policy, err := a.run(ctx, "", "apt-cache", "policy", t.Package)
	if err != nil {
		return nil, err
	}
	version, err := candidate(policy, t)
	if err != nil {
		return nil, err
	}
	packages := []string{t.Package + "=" + version}
	if t.Alone {
		return packages, nil
	}
	simulated, err := a.get(ctx, "", "--simulate", "--no-install-recommends", "install", t.Package)
	if err != nil {
		return nil, err
	}
	for name, v := range simulatedInstalls(simulated) {
		if name != t.Package {
			packages = append(packages, name+"="+v)
		}
	}
	return packages, nil
}

// candidate finds the version apt would install in the output of `apt-cache policy`, and checks that it will do.
func candidate(policy string, t Tool) (string, error) {
	m := regexp.MustCompile(`(?m)^\s+Candidate: (\S+)$`).FindStringSubmatch(policy)
	if len(m) != 2 || m[1] == "(none)" {
		return "", fmt.Errorf("no package %q in this distribution (%s) or its registry is out of reach", t.Package, osRelease())
	}
	upstream := m[1]
	if _, after, hasEpoch := strings.Cut(upstream, ":"); hasEpoch {
		upstream = after
	}
	if !strings.HasPrefix(upstream, t.Version) {
		return "", fmt.Errorf("this distribution (%s) has %s %s, wanted is %s*", osRelease(), t.Package, m[1], t.Version)
	}
	return m[1], nil
}

// simulatedInstalls reads the lines `Inst NAME [OLD] (VERSION …)` of apt-get --simulate: package to version.
func simulatedInstalls(out string) map[string]string {
	installs := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^Inst (\S+) (?:\[[^]]*\] )?\((\S+) `).FindAllStringSubmatch(out, -1) {
		installs[m[1]] = m[2]
	}
	return installs
}

// get runs apt-get with our configuration.
func (a *apt) get(ctx context.Context, dir string, args ...string) (string, error) {
	return a.run(ctx, dir, "apt-get", args...)
}

func (a *apt) run(ctx context.Context, dir, program string, args ...string) (string, error) {
	args = append([]string{"-c", filepath.Join(a.dir, "apt.conf"), "-o", "Dir::State::lists=" + a.lists}, args...)
	return runFetch(ctx, dir, program, args...)
}

// runFetch runs a command to its end under fetchTimeout and returns its output; the error holds what it complained of.
func runFetch(ctx context.Context, dir, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	return output(cmd)
}

// lockDir takes an exclusive lock on the folder, waiting for it; the kernel drops it when the process ends.
func lockDir(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}
