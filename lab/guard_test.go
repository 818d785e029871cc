package lab_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"routed/lab"
)

// nft runs nft in a node's namespace.
func nft(ctx context.Context, t *testing.T, node *lab.Node, args ...string) string {
	t.Helper()
	lab.Need(t, lab.NFT)
	out, err := runNFT(ctx, node, args...)
	must(t, err)
	return out
}

func runNFT(ctx context.Context, node *lab.Node, args ...string) (string, error) {
	found, err := lab.NFT.Find()
	if err != nil {
		return "", err
	}
	cmd := node.Command(ctx, found.Path("usr/sbin/nft"), args...)
	cmd.Env = append(os.Environ(), found.Env()...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("nft %v: %w: %s", args, err, out)
	}
	return string(out), nil
}

// wantGuard waits until the guard in a node's kernel lets exactly these addresses through.
func (m *mesh) wantGuard(t *testing.T, node *lab.Node, addrs ...netip.Addr) {
	t.Helper()
	must(t, lab.WaitFor(m.ctx, "the guard to know its peers", func(ctx context.Context) error {
		out, err := runNFT(ctx, node, "list", "set", "inet", "routed", "peer4_1790_255")
		if err != nil {
			return err
		}
		if n := strings.Count(out, ",") + 1; n != len(addrs) {
			return fmt.Errorf("%d addresses, want %d: %s", n, len(addrs), out)
		}
		for _, a := range addrs {
			if !strings.Contains(out, a.String()) {
				return fmt.Errorf("%s is missing: %s", a, out)
			}
		}
		return nil
	}))
}

// testGuard: with nothing said in the configuration the port is guarded, status says so, what somebody changes is put back,
// a node that leaves the roster is locked out, and one of the own cluster never is let in.
func (m *mesh) testGuard(t *testing.T) {
	lab.Need(t, lab.NFT)
	node, neighbour := m.Node("gyliu-icp-1"), m.Node("gyliu-icp-2")
	var remotes []netip.Addr
	for _, remote := range m.RemoteOf(node) {
		remotes = append(remotes, remote.Spec.Addr)
	}
	m.wantGuard(t, node, remotes...)
	out, status, err := node.Routed(m.ctx, "status")
	must(t, err)
	if status != 0 || !strings.Contains(out, "guard         active, 3 peers may connect") {
		t.Errorf("status exits %d: %s", status, out)
	}
	m.wantAttempt(t, neighbour.Namespace, node, silence)

	nft(m.ctx, t, node, "delete", "table", "inet", "routed")
	m.wantGuard(t, node, remotes...)
	m.wantAttempt(t, neighbour.Namespace, node, silence)

	hosts := filepath.Join(node.Dir, "cluster-2.hosts")
	whole, err := os.ReadFile(hosts)
	must(t, err)
	must(t, os.WriteFile(hosts, []byte(remotes[0].String()+" first\n"+remotes[1].String()+" second\n"), 0o600))
	must(t, node.ReloadRouted())
	m.wantGuard(t, node, remotes[0], remotes[1])
	must(t, os.WriteFile(hosts, whole, 0o600))
	must(t, node.ReloadRouted())
	m.wantGuard(t, node, remotes...)
	m.waitHealthy(t)
}
