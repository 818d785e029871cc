package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"routed/admin"
)

// What a shell is offered, as the scripts of `routed completion` ask for it.
func TestCompletion(t *testing.T) {
	socket := serveAdmin(t, answering{status: admin.Status{Clusters: []admin.Cluster{{Name: "cluster-2"}, {Name: "cluster-3"}}}})
	none := filepath.Join(t.TempDir(), "none")
	const noFiles, onlyExtensions, files = ":4", ":8", ":0"
	for line, want := range map[string]string{
		"status --output ":  "text json " + noFiles,
		"doctor -o j":       "text json " + noFiles, // the shell picks
		"run --log-level ":  "debug info warn error " + noFiles,
		"run --log-format ": "json console " + noFiles,
		"run --config ":     "yaml yml " + onlyExtensions,
		"check -c ":         "yaml yml " + onlyExtensions,
		"routes --socket " + socket + " --cluster ": "cluster-2 cluster-3 " + noFiles,
		"routes --socket " + none + " --cluster ":   noFiles,
		"peers --socket ":                           files,
		"why ":                                      noFiles,
		"status ":                                   noFiles,
		"completion ":                               "bash fish powershell zsh " + noFiles,
	} {
		var out, errs bytes.Buffer
		if code := execute(t.Context(), append([]string{"__completeNoDesc"}, strings.Split(line, " ")...), &out, &errs); code != 0 {
			t.Errorf("%s: exits %d: %s", line, code, errs.String())
		}
		if got := strings.Join(strings.Fields(out.String()), " "); got != want {
			t.Errorf("%s: offers %q, want %q", line, got, want)
		}
	}
}

func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var out, errs bytes.Buffer
		if code := execute(t.Context(), []string{"completion", shell}, &out, &errs); code != 0 || !strings.Contains(out.String(), "__complete") {
			t.Errorf("%s: exits %d with %d bytes: %s", shell, code, out.Len(), errs.String())
		}
	}
}
