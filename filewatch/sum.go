package filewatch

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
)

// Sums is what a set of files held at a moment, by path. Nobody changes one.
type Sums map[string]string

// maxRead bounds what is read of a file, in bytes: twice what any reader of ours takes.
const maxRead = 2 << 20

// Sum takes the files' sums now. A file that cannot be read has a sum as well: that it cannot, and why.
func Sum(files []string) Sums {
	out := make(Sums, len(files))
	for _, f := range files {
		out[f] = sum(f)
	}
	return out
}

// sum is the digest of a file's content. What is no regular file is not opened: a FIFO would wait for a writer.
func sum(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return unreadable(err)
	}
	if !info.Mode().IsRegular() {
		return "not a regular file"
	}
	f, err := os.Open(path)
	if err != nil {
		return unreadable(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, maxRead)); err != nil {
		return unreadable(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func unreadable(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "not there"
	}
	return "not readable: " + err.Error()
}

func (s Sums) equal(o Sums) bool { return maps.Equal(s, o) }
