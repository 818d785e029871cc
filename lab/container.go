package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
)

// StartContainer starts routed by the given command line of bubblewrap, in the node's network, as a container runtime starts
// a container of the host's network. Socket is where its admin socket appears on the node. The process is routed's from then
// on: [Node.StopRouted], [Node.KillRouted] and [Node.Routed] are for it.
func (node *Node) StartContainer(ctx context.Context, bwrap []string, socket string) error {
	if node.routed.proc.running() {
		return errors.New("routed runs already")
	}
	cmd, err := node.container(context.WithoutCancel(ctx), bwrap)
	if err != nil {
		return err
	}
	node.routed.socket = socket
	node.routed.proc, err = startContained(cmd, node.RoutedLog())
	return err
}

// RunContainer runs a container to its end, and returns all it printed.
func (node *Node) RunContainer(ctx context.Context, bwrap []string) (string, error) {
	cmd, err := node.container(ctx, bwrap)
	if err != nil {
		return "", err
	}
	return output(cmd)
}

func (node *Node) container(ctx context.Context, bwrap []string) (*exec.Cmd, error) {
	found, err := Bubblewrap.Find()
	if err != nil {
		return nil, err
	}
	cmd := node.Command(ctx, found.Path(Bubblewrap.Program), bwrap[1:]...)
	cmd.Env = append(os.Environ(), found.Env()...)
	return cmd, nil
}

// startContained starts bubblewrap, and learns from it which process is the program: the one that is 1 to itself.
func startContained(cmd *exec.Cmd, logPath string) (*process, error) {
	info, theirs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer info.Close()
	cmd.ExtraFiles = []*os.File{theirs} // file descriptor 3
	cmd.Args = slices.Insert(cmd.Args, slices.Index(cmd.Args, "--"), "--info-fd", "3")
	p, err := startProcess("routed", cmd, logPath)
	theirs.Close()
	if err != nil {
		return nil, err
	}
	var said struct {
		PID int `json:"child-pid"`
	}
	if err := json.NewDecoder(info).Decode(&said); err != nil {
		_ = p.cmd.Process.Kill() // gone already is as good
		<-p.done
		return nil, fmt.Errorf("bubblewrap started nothing, see %s: %w", logPath, errors.Join(err, p.err))
	}
	p.inner, err = os.FindProcess(said.PID)
	return p, err
}

// RoutedPID is the id of the node's routed, 0 when it does not run.
func (node *Node) RoutedPID() int {
	if !node.routed.proc.running() {
		return 0
	}
	return node.routed.proc.target().Pid
}
