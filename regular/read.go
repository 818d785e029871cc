// Package regular reads the files that people and other programs hand to the daemon: whole, and only what can be one.
//
// It refuses what is no regular file, since opening a FIFO would wait for a writer, and what is larger than its reader can mean.
package regular

import (
	"fmt"
	"io"
	"os"
)

// Read reads a regular file of at most so many bytes, links followed. It is looked at before it is opened.
func Read(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("%s is larger than %d bytes; is it the right file?", path, most)
	}
	return data, nil
}
