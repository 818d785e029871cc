package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"routed/lab"
)

const bgpdText = `log file {{.Dir}}/bgpd.log errors
router bgp {{.ASN}}
 bgp router-id {{.Receiver}}
 no bgp ebgp-requires-policy
 neighbor {{.Sender}} remote-as {{.ASN}}
 neighbor {{.Sender}} passive
`

const zebraText = `log file {{.Dir}}/zebra.log errors
`

// startFRR starts zebra and bgpd with the options of Debian's /etc/frr/daemons.
func startFRR(ctx context.Context, r *rig) ([]*child, error) {
	zebraConf, err1 := writeConfig(r, "zebra.conf", zebraText)
	bgpdConf, err2 := writeConfig(r, "bgpd.conf", bgpdText)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	socket := filepath.Join(r.dir, "zserv.api")
	common := func(conf, name string) []string {
		return []string{
			"-u", "root", "-g", "root", "-A", "127.0.0.1", "-f", conf, "-z", socket,
			"-i", filepath.Join(r.dir, name+".pid"), "--vty_socket", r.dir,
		}
	}
	zebra, err := startTool(ctx, r, lab.FRR, "usr/lib/frr/zebra", append(common(zebraConf, "zebra"), "-s", "90000000")...)
	if err != nil {
		return nil, err
	}
	there := func(context.Context) error {
		_, err := os.Stat(socket)
		return errors.Join(err, zebra.alive())
	}
	if _, err := lab.Within(ctx, 10*time.Second, "zebra's socket", there); err != nil {
		return []*child{zebra}, err
	}
	bgpd, err := startTool(ctx, r, lab.FRR, "usr/lib/frr/bgpd", append(common(bgpdConf, "bgpd"), "-l", receiverAddr().String())...)
	return []*child{zebra, bgpd}, err
}

// prepareFRR gives the sandbox what FRR insists on: root in the group frrvty, and a /var/tmp to write to.
func prepareFRR(dir string) error {
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
