package lab

import (
	"cmp"
	"context"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// Birdc runs one command of BIRD's command line and returns its answer, that of both daemons where there are two.
func (node *Node) Birdc(ctx context.Context, words ...string) (string, error) {
	var all strings.Builder
	for _, d := range node.birdDaemons() {
		program := node.bird.found.Path("usr/sbin/birdc" + d.suffix)
		cmd := exec.CommandContext(ctx, program, append([]string{"-s", node.birdSocket(d)}, words...)...)
		cmd.Env = append(os.Environ(), node.bird.found.Env()...)
		out, err := output(cmd)
		if err != nil {
			return "", err
		}
		_, answer, _ := strings.Cut(out, "\n") // the first line is "BIRD … ready."
		all.WriteString(answer)
	}
	return all.String(), nil
}

// BIRDProtocol is one line of BIRD's `show protocols`.
type BIRDProtocol struct {
	Name, Proto, Table, State string
	Since                     string // of State, in BIRD's form: the same as long as the session did not flap
	Info                      string // Established and so on
}

// BIRDProtocols asks BIRD for its protocols, sorted by name.
func (node *Node) BIRDProtocols(ctx context.Context) ([]BIRDProtocol, error) {
	out, err := node.Birdc(ctx, "show", "protocols")
	if err != nil {
		return nil, err
	}
	return parseProtocols(out), nil
}

func parseProtocols(out string) []BIRDProtocol {
	var protocols []BIRDProtocol
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) < 5 || strings.EqualFold(f[0], "name") {
			continue
		}
		protocols = append(protocols, BIRDProtocol{
			Name: f[0], Proto: f[1], Table: f[2], State: f[3], Since: f[4], Info: strings.Join(f[5:], " "),
		})
	}
	slices.SortFunc(protocols, func(a, b BIRDProtocol) int { return cmp.Compare(a.Name, b.Name) })
	return protocols
}

// BIRDRoutes asks BIRD for its table, sorted, without the times at which the routes came.
func (node *Node) BIRDRoutes(ctx context.Context) ([]string, error) {
	out, err := node.Birdc(ctx, "show", "route")
	if err != nil {
		return nil, err
	}
	return normalRoutes(out), nil
}

// normalRoutes strips "[Mesh_9_111_255_29 23:21:08]" and its like of the time.
func normalRoutes(out string) []string {
	since := regexp.MustCompile(`\[(\S+) [\d:.-]+(?: from (\S+))?\]`)
	var lines []string
	for line := range strings.Lines(out) {
		line = since.ReplaceAllString(strings.TrimRight(line, "\n"), "[$1 $2]")
		switch {
		case line == "" || strings.HasPrefix(line, "Table "):
		case line[0] == '\t' && len(lines) > 0: // BIRD 2 has the next hop on a line of its own
			lines[len(lines)-1] += " " + line[1:]
		default:
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return lines
}
