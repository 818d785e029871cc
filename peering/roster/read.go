package roster

import (
	"fmt"

	"routed/regular"
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

// ReadFile reads a regular file of up to [MaxFileSize].
func ReadFile(path string) ([]byte, error) { return regular.Read(path, MaxFileSize) }
