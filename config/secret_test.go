package config

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
)

// secretEnv has one password file, /secret, and a configuration file of mode 0600.
func secretEnv(content string, mode fs.FileMode) Env {
	return Env{
		ReadFile: func(path string) ([]byte, error) {
			if path != "/secret" {
				return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
			}
			return []byte(content), nil
		},
		FileMode: func(path string) (fs.FileMode, error) {
			if path != "/secret" {
				return 0o600, nil
			}
			return mode, nil
		},
	}
}

func TestPassword(t *testing.T) {
	const key = "s3cret PASS"
	for _, tt := range []struct{ name, line, content, want, problem string }{
		{"none", "password: ''", "", "", ""},
		{"in the file", "password: s3cret PASS", "", key, ""},
		{"a number in quotes", "password: '123'", "", "123", ""},
		{"in a file of its own", "passwordFile: /secret", key, key, ""},
		{"with a newline", "passwordFile: /secret", key + "\n", key, ""},
		{"with another system's newline", "passwordFile: /secret", key + "\r\n", key, ""},
		{"with spaces around", "passwordFile: /secret", " " + key + " \n", " " + key + " ", ""},
		{"80 bytes", "passwordFile: /secret", strings.Repeat("x", 80) + "\n", strings.Repeat("x", 80), ""},
		{"81 bytes", "passwordFile: /secret", strings.Repeat("x", 81), "", "passwordFile: a password of 81 bytes; 1 to 80"},
		{"an empty file", "passwordFile: /secret", "\n", "", "passwordFile: a password of 0 bytes; 1 to 80"},
		{"two newlines", "passwordFile: /secret", key + "\n\n", "", "passwordFile: byte 12 of the password is not a printable ASCII character"},
		{"beyond ASCII", "password: gr\u00fcn", "", "", "password: byte 3 of the password is not a printable ASCII character"},
		{"no such file", "passwordFile: /none", "", "", "passwordFile: open /none: file does not exist"},
		{"both", "passwordFile: /secret\n    password: s3cret PASS", key, "", "passwordFile: set beside %s.password (line %d); at most one of the two"},
		{"a number", "password: 98765", "", "", "password: is not text; put it in quotes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			remote := edit(t, "    nodes:\n", "    "+tt.line+"\n    nodes:\n")
			bird := edit(t, "bird:\n", "bird:\n  "+strings.ReplaceAll(tt.line, "\n    ", "\n  ")+"\n")
			for owner, text := range map[string]string{"remotes[0]": remote, "bird": bird} {
				c, err := Parse([]byte(text), "/etc/routed.yaml", secretEnv(tt.content, 0o640))
				if err != nil {
					line := map[string]int{"remotes[0]": 12, "bird": 8}[owner]
					want := owner + "." + tt.problem
					if strings.Contains(want, "%") {
						want = fmt.Sprintf(want, owner, line)
					}
					if got := problems(t, err); len(got) != 1 || tt.problem == "" || !strings.HasSuffix(got[0], " "+want) {
						t.Errorf("got %q, want %q", got, want)
					}
					for _, secret := range []string{"s3cret", "98765", "gr\u00fcn"} {
						if strings.Contains(err.Error(), secret) {
							t.Errorf("shown: %v", err)
						}
					}
					continue
				}
				got := c.BIRD.Password
				if owner != "bird" {
					got = c.Remotes[0].Password
				}
				if got.Secret() != tt.want || tt.problem != "" {
					t.Errorf("%s: password %q, want %q or the problem %q", owner, got.Secret(), tt.want, tt.problem)
				}
				if watched := slices.Contains(c.Files(), "/secret"); watched != strings.Contains(tt.line, "/secret") {
					t.Errorf("%s: files %v", owner, c.Files())
				}
				if s := fmt.Sprintf("%+v %#v", c, *c); tt.want != "" && strings.Contains(s, tt.want) {
					t.Errorf("shown: %s", s)
				}
			}
		})
	}
}

func TestPasswordFileMode(t *testing.T) {
	text := edit(t, "    nodes:\n", "    passwordFile: /secret\n    nodes:\n")
	text = strings.Replace(text, "bird:\n", "bird:\n  passwordFile: /secret\n", 1)
	for mode, warned := range map[fs.FileMode]bool{
		0o400: false, 0o600: false, 0o640: false, 0o440: false, 0o644: true, 0o660: true, 0o604: true, 0o777: true,
	} {
		c, err := Parse([]byte(text), "/etc/routed.yaml", secretEnv("x", mode))
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("/secret has a password and mode %04o; more than 0640 lets others read or change it", mode)
		if got := c.Warnings(); warned && !slices.Equal(got, []string{want}) || !warned && len(got) > 0 {
			t.Errorf("%04o: warnings %q", mode, got)
		}
	}

	file := t.TempDir() + "/routed.yaml"
	if err := os.WriteFile(file, []byte(edit(t, "bird:\n", "bird:\n  password: x\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file, Env{})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Warnings(); len(got) != 1 || !strings.HasPrefix(got[0], file+" has a password and mode 0644") {
		t.Errorf("warnings %q", got)
	}
}
