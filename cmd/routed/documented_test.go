package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"routed/docs/doctest"
)

// TestDocumentedCommandsExist: every command line of routed that a page names has commands and flags that there are.
func TestDocumentedCommandsExist(t *testing.T) {
	root, err := doctest.Root()
	if err != nil {
		t.Fatal(err)
	}
	pages, err := doctest.Pages(root)
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, page := range pages {
		commands, err := page.Commands("routed")
		if err != nil {
			t.Error(err)
		}
		for _, c := range commands {
			// The second is what `routed why` prints.
			if c.Words[0] != "routed" || slices.Equal(c.Words, []string{"routed", "as", "wanted"}) {
				continue
			}
			name, err := checkCommandLine(c.Words[1:])
			if err != nil {
				t.Errorf("%s: %s: %v", c.At, strings.Join(c.Words, " "), err)
			}
			named[name] = true
		}
	}
	for _, cmd := range newRootCommand().Commands() {
		if !cmd.Hidden && !named[cmd.Name()] {
			t.Errorf("no page names `routed %s`", cmd.Name())
		}
	}
}

// checkCommandLine tells the command that a line of words runs, and which flag of it there is not.
func checkCommandLine(words []string) (name string, err error) {
	root := newRootCommand()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	cmd, _, err := root.Find(words)
	if err != nil {
		return "", err
	}
	if cmd == root && len(words) > 0 && !strings.HasPrefix(words[0], "-") {
		return "", fmt.Errorf("no command %q", words[0])
	}
	cmd.InitDefaultHelpFlag()
	for _, w := range words {
		if !strings.HasPrefix(w, "-") {
			continue
		}
		if w == "--" {
			break
		}
		if !hasFlag(cmd, w) {
			return cmd.Name(), fmt.Errorf("%s has no flag %s", cmd.CommandPath(), w)
		}
	}
	return cmd.Name(), nil
}

func hasFlag(cmd *cobra.Command, word string) bool {
	flags := cmd.Flags()
	flags.AddFlagSet(cmd.InheritedFlags())
	if long, ok := strings.CutPrefix(word, "--"); ok {
		long, _, _ = strings.Cut(long, "=")
		return flags.Lookup(long) != nil
	}
	return len(word) > 1 && flags.ShorthandLookup(word[1:2]) != nil
}

func TestWrongCommandLinesAreFound(t *testing.T) {
	for line, want := range map[string]string{
		"stats":                             "no command",
		"status --wach":                     "no flag --wach",
		"why 20.1.47.150 -x json":           "no flag -x",
		"check --config=/etc/routed/a.yaml": "",
		"why 20.1.47.150 -o json":           "",
		"--help":                            "",
		"completion bash":                   "",
	} {
		_, err := checkCommandLine(strings.Fields(line))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", line, err, want)
		}
	}
}
