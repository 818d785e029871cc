package roster

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func write(t *testing.T, data string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cluster-2.hosts")
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadFollowsALink(t *testing.T) {
	target := write(t, "9.111.255.152 gyliu-ubuntu-3\n")
	link := filepath.Join(t.TempDir(), "hosts")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	nodes, err := Read(link)
	if err != nil || list(nodes) != "9.111.255.152=gyliu-ubuntu-3" {
		t.Errorf("got %v, %v", nodes, err)
	}
}

func TestReadErrors(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	large := write(t, strings.Repeat("# 4567890123456\n", MaxFileSize/16)+"\n")
	broken := write(t, "9.1.1.1\nx\n")
	tests := []struct{ name, path, want string }{
		{"missing", filepath.Join(dir, "none"), "no such file or directory"},
		{"directory", dir, "is not a regular file"},
		{"fifo", fifo, "is not a regular file"},
		{"large", large, large + " is larger than 1048576 bytes"},
		{"broken", broken, broken + `:2: "x" is not an IP address`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Read(tt.path)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	if _, err := Read(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
}

func TestReadTakesAFileOfTheLargestSize(t *testing.T) {
	path := write(t, strings.Repeat("# 4567890123456\n", MaxFileSize/16-1)+"9.111.255.152  \n")
	nodes, err := Read(path)
	if err != nil || list(nodes) != "9.111.255.152" {
		t.Errorf("got %v, %v", nodes, err)
	}
}
