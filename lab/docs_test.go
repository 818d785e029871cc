package lab_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"routed/docs/doctest"
	"routed/lab"
)

// blockLimitOfDocs is how long one block of the documentation may take.
const blockLimitOfDocs = 20 * time.Second

// reader is somebody on node 9.111.255.21 of the seed who does what the documentation says: routed is installed there, its
// configuration is that of README.md, and its daemon runs with it.
type reader struct {
	*mesh
	node  *lab.Node
	etc   string // the node's /etc/routed
	run   string // and its /run/routed
	root  string // of the repository
	pages []*doctest.Page
}

// TestDocs runs each block of the shell that is marked so, on a node of a mesh whose six daemons run, and compares with what is
// shown beside it; and has `routed check` judge each configuration. See docs/design/doctest.md.
func TestDocs(t *testing.T) {
	lab.Need(t, lab.Bubblewrap, lab.Ping, lab.NFT)
	r := newReader(t)
	_ = t.Run("Started", r.testStarted) &&
		t.Run("Commands", r.testCommands) &&
		t.Run("Configurations", r.testConfigurations) &&
		t.Run("Stopped", r.testStopped)
}

func newReader(t *testing.T) *reader {
	t.Helper()
	bird := lab.BIRD{Tool: birds()[0], Peering: lab.Dial}
	ctx, net := buildWithBIRD(t, bird)
	root, err := doctest.Root()
	must(t, err)
	pages, err := doctest.Pages(root)
	must(t, err)
	binary, err := buildRelease()
	must(t, err)
	net.AskWith(binary)
	node := net.Node("gyliu-icp-1")
	r := &reader{
		mesh: &mesh{Network: net, ctx: ctx, bird: bird, binary: binary}, node: node, root: root, pages: pages,
		etc: filepath.Join(node.Dir, "etc"), run: filepath.Join(node.Dir, "run"),
	}
	must(t, errors.Join(os.Mkdir(r.etc, 0o755), os.Mkdir(r.run, 0o755)))
	return r
}

// testStarted starts the mesh, this node with what README.md says is to be written there.
func (r *reader) testStarted(t *testing.T) {
	r.write(t, "routed.yaml", r.readme(t))
	r.write(t, "cluster-2.hosts", "9.111.255.152 gyliu-ubuntu-3\n9.111.255.155 gyliu-ubuntu-2\n9.111.255.77 gyliu-ubuntu-1\n")
	// For what a page shows of cluster-2's nodes. They are judged here, so that this node is not among their remote ones.
	r.write(t, "cluster-1.hosts", "9.111.255.129 gyliu-icp-2\n9.111.255.29 gyliu-icp-3\n")
	must(t, lab.Each(r.ctx, r.Nodes(), func(ctx context.Context, node *lab.Node) error {
		if err := node.PeerBIRD(ctx); err != nil {
			return err
		}
		if node == r.node {
			run := r.sandbox(t, "routed", "run", "--config", "/etc/routed/routed.yaml")
			return node.StartContainer(ctx, run, filepath.Join(r.run, "routed.sock"))
		}
		return node.StartRouted(ctx, r.binary, r.bird.Peering)
	}))
	r.waitHealthy(t)
	must(t, r.WaitMesh(r.ctx))
}

// readme is the configuration that README.md shows.
func (r *reader) readme(t *testing.T) string {
	t.Helper()
	for _, page := range r.pages {
		for _, b := range page.Blocks {
			if kind, err := doctest.YAMLKindOf(b.Text); page.Path == "README.md" && b.Lang == "yaml" && err == nil && kind == doctest.Configuration {
				return b.Text
			}
		}
	}
	t.Fatal("README.md shows no configuration")
	return ""
}

func (r *reader) write(t *testing.T, name, text string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(r.etc, name), []byte(text), 0o644))
}

// sandbox is a command line on the node, where /etc/routed and /run/routed are the node's own, routed is in the path, and
// iproute2 knows its table and protocol by name, as the package has it.
func (r *reader) sandbox(t *testing.T, command ...string) []string {
	t.Helper()
	const programs = "/opt/routed"
	args := []string{
		"bwrap", "--clearenv", "--setenv", "LC_ALL", "C.UTF-8", "--setenv", "HOME", "/root",
		"--setenv", "PATH", programs + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", "--ro-bind", "/sys", "/sys", "--dev", "/dev",
		"--tmpfs", "/tmp", "--dir", "/root", "--dir", "/var/lib",
		"--bind", r.etc, "/etc/routed", "--bind", r.run, "/run/routed", "--ro-bind", r.binary, programs + "/routed",
	}
	for _, dir := range []string{"/usr", "/bin", "/sbin", "/lib", "/lib64"} {
		args = append(args, "--ro-bind-try", dir, dir)
	}
	for _, name := range []string{"passwd", "group", "alternatives", "ld.so.cache", "iproute2/rt_tables", "iproute2/rt_protos"} {
		args = append(args, "--ro-bind-try", "/etc/"+name, "/etc/"+name)
	}
	for _, name := range []string{"rt_tables", "rt_protos"} {
		args = append(args, "--ro-bind", filepath.Join(r.root, "deploy/systemd", name+".conf"), "/etc/iproute2/"+name+".d/routed.conf")
	}
	args = append(args, unpacked(t, programs, lab.Ping, lab.NFT)...)
	return append(append(args, "--chdir", "/root", "--"), command...)
}

// unpacked puts those tools that the host does not have among the programs, with the libraries that they need.
func unpacked(t *testing.T, programs string, tools ...lab.Tool) (args []string) {
	t.Helper()
	var libraries []string
	for _, tool := range tools {
		found, err := tool.Find()
		must(t, err)
		program := found.Path(tool.Program)
		if !filepath.IsAbs(program) {
			continue
		}
		args = append(args, "--ro-bind", program, filepath.Join(programs, filepath.Base(program)))
		for _, env := range found.Env() {
			_, dirs, _ := strings.Cut(env, "=") // it is LD_LIBRARY_PATH
			libraries = append(libraries, filepath.SplitList(dirs)...)
		}
	}
	for _, dir := range libraries {
		args = append(args, "--ro-bind", dir, dir)
	}
	return append(args, "--setenv", "LD_LIBRARY_PATH", strings.Join(libraries, ":"))
}

// shell runs a script on the node and tells its exit status.
func (r *reader) shell(t *testing.T, script string) (out string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, blockLimitOfDocs)
	defer cancel()
	bwrap, err := lab.Bubblewrap.Find()
	must(t, err)
	args := r.sandbox(t, "sh", "-euc", script)
	cmd := r.node.Command(ctx, bwrap.Path(lab.Bubblewrap.Program), args[1:]...)
	cmd.Env = append(os.Environ(), bwrap.Env()...)
	printed, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return string(printed), exit.ExitCode()
	}
	must(t, err)
	return string(printed), 0
}

// testCommands runs the blocks for a node whose daemon runs.
func (r *reader) testCommands(t *testing.T) {
	if n := r.runBlocks(t, func(b doctest.Block) bool { return !b.Marked("stopped") }); n < 15 {
		t.Errorf("only %d blocks are marked: ```sh lab", n)
	}
}

// testStopped runs those for one whose daemon does not.
func (r *reader) testStopped(t *testing.T) {
	must(t, r.node.StopRouted(r.ctx))
	if n := r.runBlocks(t, func(b doctest.Block) bool { return b.Marked("stopped") }); n == 0 {
		t.Error("no block is marked: ```sh lab stopped")
	}
}

func (r *reader) runBlocks(t *testing.T, which func(doctest.Block) bool) (n int) {
	t.Helper()
	for _, page := range r.pages {
		for _, b := range page.Blocks {
			if b.Lang != "sh" || !b.Marked("lab") || !which(b) {
				continue
			}
			n++
			t.Run(b.At(), func(t *testing.T) { r.runBlock(t, b) })
		}
	}
	return n
}

func (r *reader) runBlock(t *testing.T, b doctest.Block) {
	t.Helper()
	want, err := wantStatus(b)
	must(t, err)
	out, status := r.shell(t, b.Text)
	t.Logf("%s\n%s", b.Text, out)
	if status != want {
		t.Errorf("exits %d, want %d", status, want)
	}
	if err := likeShown(b.Shown, out); err != nil {
		t.Errorf("%v; it printed:\n%s", err, out)
	}
}

// wantStatus is the exit status that the marks of a block tell; without one, 0.
func wantStatus(b doctest.Block) (int, error) {
	for _, mark := range b.Marks {
		switch value, is := strings.CutPrefix(mark, "exit="); {
		case is:
			return strconv.Atoi(value)
		case mark != "lab" && mark != "stopped":
			return 0, fmt.Errorf("%s: %q is no mark of a block that runs in the lab", b.At(), mark)
		}
	}
	return 0, nil
}

// likeShown returns nil when the lines that a page shows are in the output, in their order. Lines are the same when they begin
// with the same word, numbers aside, and headings of tables when all their words are.
func likeShown(shown, out string) error {
	rest := strings.Split(out, "\n")
	for line := range strings.Lines(shown) {
		want := shape(line)
		if want == "" || want == "…" {
			continue
		}
		found := -1
		for i, got := range rest {
			if shape(got) == want {
				found = i
				break
			}
		}
		if found < 0 {
			return fmt.Errorf("no line, or none in this place, is like %q", strings.TrimSpace(line))
		}
		rest = rest[found+1:]
	}
	return nil
}

// shape is what of a line is the same at another time.
func shape(line string) string {
	words := strings.Fields(line)
	if len(words) == 0 {
		return ""
	}
	if joined := strings.Join(words, " "); joined == strings.ToUpper(joined) && strings.IndexFunc(joined, isLetter) == 0 {
		return joined
	}
	return strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' {
			return '0'
		}
		return c
	}, words[0])
}

func isLetter(c rune) bool { return c >= 'A' && c <= 'Z' }

func TestLikeShown(t *testing.T) {
	const out = "routed v1 on a\n\nTHIS NODE\n  BIRD  up 3s\n\nREMOTE  CLUSTERS\n  CLUSTER    NODES  ROUTES\n  c2    3/3    12\n"
	for shown, good := range map[string]bool{
		"": true,
		"routed v0.1.0 on b\n…\nCLUSTER NODES ROUTES\n": true,
		"CLUSTER NODES\n":        false, // a column is missing
		"BIRD\nTHIS NODE\n":      false, // the order
		"router v1\n":            false,
		"  BIRD  established 3s": true,
		"c4 1/3 2\n":             true,
	} {
		if err := likeShown(shown, out); (err == nil) != good {
			t.Errorf("%q: %v", shown, err)
		}
	}
}

// testConfigurations has `routed check` judge each configuration that a page shows, on the node it is for, where the files are
// that README.md names.
func (r *reader) testConfigurations(t *testing.T) {
	n := 0
	for _, page := range r.pages {
		for _, b := range page.Blocks {
			if b.Lang != "yaml" {
				continue
			}
			kind, err := doctest.YAMLKindOf(b.Text)
			must(t, err)
			text := b.Text
			switch kind {
			case doctest.Configuration:
			case doctest.Fragment:
				text, err = doctest.Complete(b.Text)
				must(t, err)
			default:
				continue
			}
			n++
			r.write(t, "example.yaml", text)
			if out, status := r.shell(t, "routed check --config /etc/routed/example.yaml"); status != 0 {
				t.Errorf("%s: routed check exits %d: %s\n%s", b.At(), status, out, text)
			}
		}
	}
	if n < 5 {
		t.Errorf("only %d configurations found", n)
	}
}
