package lab

import (
	"context"
	"os"
	"path/filepath"
)

// Foreign is a BGP daemon on a node in the place of a routed. It listens on port 179. Whoever starts it ends it.
func (node *Node) Foreign(tool Tool, config string) *Reflector {
	return &Reflector{
		Namespace: node.Namespace, Dir: node.Dir,
		Spec: ReflectorSpec{Name: node.Spec.Name, Addr: node.Spec.Addr, Tool: tool, Config: config},
	}
}

// Ask runs a command of the daemon's own client: birdc, vtysh or gobgp.
func (r *Reflector) Ask(ctx context.Context, words ...string) (string, error) {
	found, err := r.Spec.Tool.Find()
	if err != nil {
		return "", err
	}
	var client string
	var args []string
	switch r.Spec.Tool {
	case FRR:
		if err := os.WriteFile(filepath.Join(r.Dir, "vtysh.conf"), []byte("username root nopassword\n"), 0o644); err != nil {
			return "", err
		}
		client, args = "usr/bin/vtysh", []string{"--vty_socket", r.Dir, "--config_dir", r.Dir}
		for _, w := range words {
			args = append(args, "-c", w)
		}
	case GoBGP:
		client, args = "usr/bin/gobgp", words
	default:
		client, args = "usr/sbin/birdc", append([]string{"-s", filepath.Join(r.Dir, "bird.ctl")}, words...)
	}
	cmd := r.Command(ctx, found.Path(client), args...)
	cmd.Env = append(os.Environ(), found.Env()...)
	return output(cmd)
}
