package regular

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	full, fifo, link := write("full", "12345678"), filepath.Join(dir, "fifo"), filepath.Join(dir, "link")
	if err := errors.Join(syscall.Mkfifo(fifo, 0o600), os.Symlink(full, link)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{full, link} {
		if data, err := Read(path, 8); err != nil || string(data) != "12345678" {
			t.Errorf("%s: %q, %v", path, data, err)
		}
	}
	if _, err := Read(filepath.Join(dir, "none"), 8); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
	for path, says := range map[string]string{full: "is larger than 7 bytes", fifo: "is not a regular file", dir: "is not a regular file"} {
		if data, err := Read(path, 7); err == nil || !strings.Contains(err.Error(), path+" "+says) {
			t.Errorf("%s: %q, %v", path, data, err)
		}
	}
}
