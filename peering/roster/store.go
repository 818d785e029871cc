package roster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Store keeps the last list of a cluster over restarts, for lists whose source may be away then. A list is a file of
// "ADDRESS NAME" lines, which people can read and [Parse] does.
type Store struct {
	Dir string // made when it is needed
}

// Path is the file of a cluster, whose name must be one that the configuration admits: no separator, no leading dot.
func (s Store) Path(cluster string) string { return filepath.Join(s.Dir, cluster+".hosts") }

// Load reads a cluster's list. Without one the error is fs.ErrNotExist; a list of no node is broken.
func (s Store) Load(cluster string) ([]Node, error) {
	nodes, err := Read(s.Path(cluster))
	if err == nil && len(nodes) == 0 {
		err = fmt.Errorf("%s lists no node", s.Path(cluster))
	}
	return nodes, err
}

// Save replaces a cluster's list, in one step: a crash leaves the old one or the new one.
func (s Store) Save(cluster string, nodes []Node, at time.Time) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# The nodes of %s as they were last known, %s. Written by routed.\n", cluster, at.UTC().Format(time.RFC3339))
	for _, n := range nodes {
		fmt.Fprintf(&b, "%s\n", strings.TrimSpace(n.Addr.String()+" "+storable(n.Name)))
	}
	if err := os.MkdirAll(s.Dir, 0o750); err != nil {
		return fmt.Errorf("keep the nodes of %s: %w", cluster, err)
	}
	if err := replace(s.Path(cluster), b.String()); err != nil {
		return fmt.Errorf("keep the nodes of %s: %w", cluster, err)
	}
	return nil
}

// Remove forgets a cluster's list, if there is one.
func (s Store) Remove(cluster string) error {
	err := os.Remove(s.Path(cluster))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// storable gives a name that a line of the file can hold, or none: it is for people, and may be another cluster's.
func storable(name string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' || r == '_'
	}
	if len(name) > maxName || strings.ContainsFunc(name, func(r rune) bool { return !plain(r) }) {
		return ""
	}
	return name
}

// replace writes a file beside the one at path and puts it in its place, both on the disk before it returns.
func replace(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // it is gone when all went well
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
