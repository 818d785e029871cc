package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// sshdConfig is that of an SSH server which takes one key for root, and knows no other way in.
const sshdConfig = `Port %d
HostKey /etc/ssh/lab_host_key
AuthorizedKeysFile /etc/ssh/lab_authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PidFile none
`

// sshdUnit is as Debian's own, but for the configuration.
const sshdUnit = `[Service]
Type=notify
RuntimeDirectory=sshd
ExecStart=/usr/sbin/sshd -D -f /etc/ssh/lab_sshd_config
`

// StartSSH starts an SSH server on the machine, which lets in who has the key to `authorized`, as root and as each of the
// aliases, other names of root. It returns the server's own public key.
func (m *Machine) StartSSH(ctx context.Context, port uint16, authorized string, aliases ...string) (hostKey string, err error) {
	if err := m.installSSHD(ctx); err != nil {
		return "", err
	}
	users := []string{"sshd:x:1074:65534::/run/sshd:/usr/sbin/nologin"}
	locks := []string{"root:*:19000:0:99999:7:::"} // no password, and not locked, whatever the host has
	for _, a := range aliases {
		users = append(users, a+":x:0:0::/root:/bin/sh")
		locks = append(locks, a+":*:19000:0:99999:7:::")
	}
	err = errors.Join(
		m.replaceAccounts("/etc/passwd", 0o644, users),
		m.replaceAccounts("/etc/shadow", 0o600, locks),
		m.Write("/etc/ssh/lab_authorized_keys", 0o600, authorized),
		m.Write("/etc/ssh/lab_sshd_config", 0o600, fmt.Sprintf(sshdConfig, port)),
		m.Write("/run/systemd/system/lab-sshd.service", 0o644, sshdUnit),
	)
	if err != nil {
		return "", err
	}
	if _, err = m.Run(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", "/etc/ssh/lab_host_key"); err != nil {
		return "", err
	}
	if _, err := m.Run(ctx, "systemctl", "start", "lab-sshd"); err != nil {
		return "", err
	}
	text, err := os.ReadFile(m.Path("/etc/ssh/lab_host_key.pub"))
	return string(text), err
}

// installSSHD puts the SSH server and its tools where their packages have them.
func (m *Machine) installSSHD(ctx context.Context) error {
	for _, t := range []Tool{SSH, SSHD} {
		found, err := t.Find()
		if err != nil {
			return err
		}
		if _, err := found.CopyTo(ctx, m.Path("/")); err != nil {
			return err
		}
	}
	return nil
}

// replaceAccounts gives a file of accounts these lines in the place of those with the same names.
func (m *Machine) replaceAccounts(path string, mode os.FileMode, lines []string) error {
	text, err := os.ReadFile(m.Path(path))
	if err != nil {
		return err
	}
	kept := slices.DeleteFunc(strings.SplitAfter(string(text), "\n"), func(old string) bool {
		return slices.ContainsFunc(lines, func(l string) bool {
			name, _, _ := strings.Cut(l, ":")
			return strings.HasPrefix(old, name+":")
		})
	})
	return m.Write(path, mode, strings.Join(lines, "\n")+"\n"+strings.Join(kept, ""))
}
