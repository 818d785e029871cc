package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestMakeTargetsExist: every `make TARGET` that a page names is in the Makefile, and every block of the shell is one.
func TestMakeTargetsExist(t *testing.T) {
	s := read(t)
	makefile, err := os.ReadFile(filepath.Join(s.root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	var targets []string
	for _, m := range regexp.MustCompile(`(?m)^([a-z][a-z-]*):([^=]|$)`).FindAllStringSubmatch(string(makefile), -1) {
		targets = append(targets, m[1])
	}
	named := 0
	for _, page := range s.pages {
		commands, err := page.Commands("make")
		if err != nil {
			t.Error(err)
		}
		for _, c := range commands {
			if c.Words[0] != "make" || slices.Contains(c.Words, "-f") { // a Makefile of others
				continue
			}
			for _, word := range c.Words[1:] {
				named++
				if word != "" && !strings.Contains(word, "=") && !slices.Contains(targets, word) {
					t.Errorf("%s: the Makefile has no target %q", c.At, word)
				}
			}
		}
	}
	if named < 15 {
		t.Errorf("only %d targets named", named)
	}
}
