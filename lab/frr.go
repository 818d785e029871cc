package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// PrepareFRR gives the sandbox what FRR insists on: root in the group frrvty, and a /var/tmp to write to. dir is where it
// may put a file. It is to be called once.
func PrepareFRR(dir string) error {
	group, err := os.ReadFile("/etc/group")
	if err != nil {
		return err
	}
	ours := filepath.Join(dir, "group")
	if err := os.WriteFile(ours, append(group, "frrvty:x:65533:root\n"...), 0o644); err != nil {
		return err
	}
	if err := unix.Mount(ours, "/etc/group", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting /etc/group: %w", err)
	}
	if err := unix.Mount("tmp", "/var/tmp", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777"); err != nil {
		return fmt.Errorf("mounting /var/tmp: %w", err)
	}
	return nil
}

// startFRR starts zebra, which tells bgpd what is reachable, and bgpd, which keeps its hands off the kernel.
func (r *Reflector) startFRR(ctx context.Context, found Found) error {
	zebraConf := filepath.Join(r.Dir, "zebra.conf")
	if err := os.WriteFile(zebraConf, nil, 0o644); err != nil {
		return err
	}
	socket := filepath.Join(r.Dir, "zserv.api")
	start := func(name, conf string, more ...string) error {
		args := append([]string{
			"-u", "root", "-g", "root", "-A", "127.0.0.1", "-f", conf, "-z", socket, "--log", "stdout",
			"-i", filepath.Join(r.Dir, name+".pid"), "--vty_socket", r.Dir,
		}, more...)
		return r.start(ctx, found, "usr/lib/frr/"+name, args...)
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := start("zebra", zebraConf); err != nil {
		return err
	}
	there := func(context.Context) error {
		_, err := os.Stat(socket)
		return err
	}
	if _, err := Within(ctx, 10*time.Second, "zebra's socket", there); err != nil {
		return err
	}
	return start("bgpd", r.configPath(), "-l", r.Spec.Addr.String(), "--no_kernel")
}
