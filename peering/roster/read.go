package roster

import (
	"fmt"
	"io"
	"os"
)

// MaxFileSize bounds a hosts file, in bytes.
const MaxFileSize = 1 << 20

// Read reads the hosts file at path now and parses it as [Parse] does. What is not a regular file, or is larger
// than [MaxFileSize], is an error.
func Read(path string) ([]Node, error) {
	data, err := ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("hosts file: %w", err)
	}
	return Parse(path, data)
}

// ReadFile reads a regular file of up to [MaxFileSize], links followed. It is looked at before it is opened: opening a
// FIFO would wait for a writer.
func ReadFile(path string) ([]byte, error) {
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
	data, err := io.ReadAll(io.LimitReader(f, MaxFileSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxFileSize {
		return nil, fmt.Errorf("%s is larger than %d bytes; is it the right file?", path, MaxFileSize)
	}
	return data, nil
}
