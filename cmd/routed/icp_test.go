package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// icpFolders are the folders that two clusters were installed from.
func icpFolders(t *testing.T) (one, two string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"1/hosts": "[master]\n9.111.255.21\n", "1/config.yaml": "network_type: calico\n",
		"2/hosts": "[master]\n9.111.255.77 ansible_user=ubuntu\n", "2/config.yaml": "network_cidr: 20.1.0.0/16\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "1"), filepath.Join(dir, "2")
}

func TestICP(t *testing.T) {
	one, two := icpFolders(t)
	out := filepath.Join(t.TempDir(), "out")
	run := func(args ...string) (code int, text string) {
		var b strings.Builder
		code = execute(t.Context(), append([]string{"icp", "--out", out}, args...), &b, &b)
		return code, b.String()
	}
	if code, text := run("--cluster", "cluster-1="+one, "--cluster", "cluster-2="+two, "--calico-version", "3.5"); code != 0 {
		t.Fatal(text)
	}
	if got := readText(t, filepath.Join(out, "hosts")); !strings.HasSuffix(got, "\ncluster-2\t9.111.255.77\tubuntu\t22\n") {
		t.Errorf("hosts:\n%s", got)
	}
	if got := readText(t, filepath.Join(out, "cluster-1", "calico.yaml")); !strings.Contains(got, "20.1.0.0/16") {
		t.Errorf("calico.yaml:\n%s", got)
	}

	// A tree is replaced whole; one that fails leaves what is there.
	if code, text := run("--cluster", "east="+one, "--cluster", "west="+two); code != 0 {
		t.Fatal(text)
	}
	before := readText(t, filepath.Join(out, "east", "9.111.255.21", "routed.yaml"))
	if _, err := os.Stat(filepath.Join(out, "cluster-1")); err == nil {
		t.Error("the tree from before is still there")
	}
	if code, text := run("--cluster", "east="+one, "--cluster", "west="+one); code != 1 || !strings.Contains(text, "overlaps") {
		t.Errorf("exits %d: %s", code, text)
	}
	if got := readText(t, filepath.Join(out, "east", "9.111.255.21", "routed.yaml")); got != before {
		t.Error("a run that failed changed the tree")
	}
	for _, tc := range []struct {
		says string
		args []string
	}{
		{"must be NAME=DIR", []string{"--cluster", "east", "--cluster", "west=" + two}},
		{"/nowhere/hosts", []string{"--cluster", "east=/nowhere", "--cluster", "west=" + two}},
		{"--calico-version", []string{"--cluster", "east=" + one, "--cluster", "west=" + two, "--calico-version", "2.6"}},
		{"--more", []string{"--cluster", "east=" + one, "--cluster", "west=" + two, "--more", "/nowhere"}},
		{"is not empty and not of `routed icp`", []string{"--cluster", "east=" + one, "--cluster", "west=" + two, "--out", filepath.Dir(one)}},
		{"is not empty and not of `routed icp`", []string{"--cluster", "east=" + one, "--cluster", "west=" + two, "--out", one}},
	} {
		if code, text := run(tc.args...); code != 1 || !strings.Contains(text, tc.says) {
			t.Errorf("%v exits %d, want %q: %s", tc.args, code, tc.says, text)
		}
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(out), ".routed-icp-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
