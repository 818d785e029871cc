package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCalico(t *testing.T) {
	path := filepath.Join(t.TempDir(), "routed.yaml")
	text := "cluster: {name: cluster-1, podCIDRs: [10.1.0.0/16]}\nnode: {address: 9.111.255.21}\nbird: {accept: 127.0.0.1}\n" +
		"remotes: [{name: cluster-2, podCIDRs: [20.1.0.0/16], nodes: {addresses: [9.111.255.77]}}]\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args []string
		code int
		says []string // on stdout when code is 0, else on stderr
	}{
		{[]string{"--calico-version", "v3.28.1"}, 0, []string{"projectcalico.org/v3", "peerIP: 127.0.0.1:1790", "cidr: 20.1.0.0/16"}},
		{[]string{"--calico-version", "3.28", "--for", "kubectl"}, 0, []string{"crd.projectcalico.org/v1"}},
		{[]string{"--calico-version", "3.5"}, 1, []string{path, "bird.accept", "bird.dial: 127.0.0.1:179"}},
		{[]string{"--calico-version", "2.6"}, 1, []string{"--calico-version: 2.6 is too old"}},
		{[]string{}, 1, []string{"--calico-version: no version of Calico is given"}},
		{[]string{"--calico-version", "3.28", "--for", "helm"}, 1, []string{`"helm"`, "calicoctl", "kubectl"}},
	} {
		var out, errs strings.Builder
		code := execute(t.Context(), append([]string{"calico", "--config", path}, tc.args...), &out, &errs)
		text := out.String()
		if code != 0 {
			text = errs.String()
		}
		for _, want := range tc.says {
			if !strings.Contains(text, want) || code != tc.code {
				t.Errorf("calico %v exits %d, want %d and %q in:\n%s", tc.args, code, tc.code, want, text)
			}
		}
		if tc.code != 0 && out.Len() > 0 {
			t.Errorf("calico %v fails and prints something to apply:\n%s", tc.args, out.String())
		}
	}
}
