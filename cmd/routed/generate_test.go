package main

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// TestManPages makes the manual pages of all commands, in $ROUTED_MAN_DIR when that is set: so the packages get them, and the
// daemon need not carry what makes them.
func TestManPages(t *testing.T) {
	dir := cmp.Or(os.Getenv("ROUTED_MAN_DIR"), t.TempDir())
	root := newRootCommand()
	root.DisableAutoGenTag = true
	header := &doc.GenManHeader{Section: "8", Source: "routed", Manual: "System administration"}
	if err := doc.GenManTree(root, header, dir); err != nil {
		t.Fatal(err)
	}
	for _, cmd := range append(root.Commands(), root) {
		if cmd.IsAvailableCommand() {
			wantPage(t, dir, cmd)
		}
	}
}

// wantPage checks that a command has a page that says what it is for.
func wantPage(t *testing.T, dir string, cmd *cobra.Command) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(dir, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".8"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{".SH NAME", ".SH SYNOPSIS", cmd.Short} {
		if !strings.Contains(strings.ReplaceAll(string(page), `\-`, "-"), want) {
			t.Errorf("the page of %q has no %q", cmd.CommandPath(), want)
		}
	}
}

// TestCompletionFiles makes the completions for shells under the names they look for, in $ROUTED_COMPLETION_DIR when that is set.
func TestCompletionFiles(t *testing.T) {
	dir := cmp.Or(os.Getenv("ROUTED_COMPLETION_DIR"), t.TempDir())
	root := newRootCommand()
	for name, generate := range map[string]func(file string) error{
		"routed":      func(file string) error { return root.GenBashCompletionFileV2(file, true) },
		"_routed":     root.GenZshCompletionFile,
		"routed.fish": func(file string) error { return root.GenFishCompletionFile(file, true) },
	} {
		file := filepath.Join(dir, name)
		if err := generate(file); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), " __complete") {
			t.Errorf("%s does not ask routed what there is", name)
		}
	}
}
