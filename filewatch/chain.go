package filewatch

import (
	"os"
	"path/filepath"
	"strings"
)

// maxLinks is how many links are followed (as ELOOP, path_resolution(7)).
const maxLinks = 40

// chain lists what a path depends on, each without a link in its directory: every symbolic link on the way, and then
// the file at the end, or else the first part of the way that is not there. When one of them is made, turned, replaced
// or removed, or the last is written, the path may hold something else. Directories on the way that are no links are
// not listed.
func chain(path string) []string {
	var out []string
	at := string(filepath.Separator)
	rest := parts(path)
	for links := 0; len(rest) > 0 && links <= maxLinks; {
		next := filepath.Join(at, rest[0])
		rest = rest[1:]
		info, err := os.Lstat(next)
		switch {
		case err != nil:
			return append(out, next)
		case info.Mode()&os.ModeSymlink != 0:
			links++
			out = append(out, next)
			target, err := os.Readlink(next)
			if err != nil {
				return out
			}
			if filepath.IsAbs(target) {
				at = string(filepath.Separator)
			}
			rest = append(parts(target), rest...)
		case len(rest) == 0:
			return append(out, next)
		default:
			at = next
		}
	}
	return out
}

// parts splits a path; the parts may include "..", which are right once the links before them are followed.
func parts(path string) []string {
	var out []string
	for _, p := range strings.Split(path, string(filepath.Separator)) {
		if p != "" && p != "." {
			out = append(out, p)
		}
	}
	return out
}
