package config

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestNotTheSchema: what is not YAML or does not fit the raw structs, each with its place.
func TestNotTheSchema(t *testing.T) {
	tests := []struct {
		name, old, with string
		want            []string
	}{
		{
			"unknown key", "    nodes:\n", "    node:\n      x: 1\n    nodes:\n",
			[]string{`11:5 : unknown key "node" in remotes[0]; there are: name, podCIDRs, serviceCIDRs, asn, port, nodes, ` +
				`reflectors, nodeCIDRs, sessionFamilies, password, passwordFile, maxHops, limits, blockLengths, probeAddresses`},
		},
		{
			"unknown section", "", "kernal: {}\n",
			[]string{`13:1 : unknown key "kernal" at the top; there are: cluster, node, bird, listen, remotes, timers, kernel, mesh, probe, ` +
				`metrics, admin, state, log`},
		},
		{
			"several at once, in the order of the file", "  dial: 127.0.0.1:179\n", "  dail: x\n  dial: {a: b}\n  accept: [[x]]\n",
			[]string{
				`7:3 : unknown key "dail" in bird; there are: dial, accept, password, passwordFile`,
				"8:10 bird.dial: want a single value, found a mapping",
				"9:12 bird.accept[0]: want a single value, found a list",
			},
		},
		{"repeated key", "node:\n", "node:\n  address: 9.9.9.9\n", []string{`6:3 : mapping key "address" already defined at [5:3]`}},
		{"repeated in quotes", "node:\n", "node:\n  'address': 9.9.9.9\n", []string{`6:3 : mapping key "address" already defined at [5:3]`}},
		{"repeated section", "", "node:\n  address6: fd00::1\n", []string{`13:1 : mapping key "node" already defined at [4:1]`}},
		{"not closed", "[20.1.0.0/16]", "[20.1.0.0/16", []string{"11:5 : ',' or ']' must be specified"}},
		{"a tab", "  dial", "\tdial", []string{"7:1 : found character '\t' that cannot start any token"}},
		{"list for a mapping", "  address: 9.111.255.21\n", "  - address\n", []string{"5:3 node: want a mapping, found a list"}},
		{"text for a mapping", "node:\n  address: 9.111.255.21\n", "node: 9.111.255.21\n", []string{"4:7 node: want a mapping, found text"}},
		{"text for a list", "podCIDRs: [20.1.0.0/16]", "podCIDRs: 20.1.0.0/16", []string{"10:15 remotes[0].podCIDRs: want a list, found text"}},
		{"mapping for a list", "  - name: cluster-2\n", "    name: cluster-2\n", []string{"9:5 remotes: want a list, found a mapping"}},
		{"mapping for a value", "dial: 127.0.0.1:179", "dial: {a: b}", []string{"7:10 bird.dial: want a single value, found a mapping"}},
		{"list for a value", "name: cluster-1", "name: [cluster-1]", []string{"2:9 cluster.name: want a single value, found a list"}},
		{"block text", "name: cluster-1", "name: |\n    x", []string{"2:9 cluster.name: want a single value, found block text"}},
		{"null in a list", "[20.1.0.0/16]", "[20.1.0.0/16, ~]", []string{"10:29 remotes[0].podCIDRs[1]: want a value, found nothing"}},
		{"null remote", "remotes:\n", "remotes:\n  -\n", []string{"9:4 remotes[0]: want a mapping, found nothing"}},
		{"text remote", "remotes:\n", "remotes:\n  - x\n", []string{"9:5 remotes[0]: want a mapping, found text"}},
		{"an anchor", "name: cluster-1", "name: &a cluster-1", []string{"2:9 cluster.name: anchors, aliases and tags are not supported; write the value itself"}},
		{"a tag", "[20.1.0.0/16]", "[!!str 20.1.0.0/16]", []string{"10:16 remotes[0].podCIDRs[0]: anchors, aliases and tags are not supported; write the value itself"}},
		{"a merge key", "", "kernel:\n  <<: {table: 1}\n", []string{"14:3 kernel: a key must be a plain word"}},
		{"a number as key", "", "1: x\n", []string{"13:1 : a key must be a plain word"}},
		{"a second document", "", "---\nnode: {}\n", []string{"14:1 : a second YAML document; one file is one configuration"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(edit(t, tt.old, tt.with)), "routed.yaml", Env{})
			if err == nil {
				t.Fatal("accepted")
			}
			if diff := cmp.Diff(tt.want, problems(t, err)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestMessages: what a person sees, to the letter.
func TestMessages(t *testing.T) {
	tests := []struct{ name, old, with, want string }{
		{
			"one line and a mark", "[20.1.0.0/16]", "[20.1.0.0/16, 20.2.0.1/16]", `
routed.yaml:10:29: remotes[0].podCIDRs[1]: 20.2.0.1/16 has host bits set; write 20.2.0.0/16
   10 |     podCIDRs: [20.1.0.0/16, 20.2.0.1/16]
      |                             ^`,
		},
		{
			"several, in the order of the file", "[20.1.0.0/16]\n", "[20.1/16]\n    maxHops: 0\n", `
routed.yaml:10:16: remotes[0].podCIDRs[0]: "20.1/16" is not a range in CIDR form, such as 10.1.0.0/16
   10 |     podCIDRs: [20.1/16]
      |                ^
routed.yaml:11:14: remotes[0].maxHops: "0" is not a whole number from 1 to 255
   11 |     maxHops: 0
      |              ^`,
		},
		{
			"a long line is cut", "[20.1.0.0/16]", "[20.1.0.0/16" + strings.Repeat(", 20.1.0.0/16", 20) + ", x" + strings.Repeat(" ", 80) + "]", `
routed.yaml:10:289: remotes[0].podCIDRs[21]: "x" is not a range in CIDR form, such as 10.1.0.0/16
   10 | 1.0.0/16, 20.1.0.0/16, 20.1.0.0/16, 20.1.0.0/16, 20.1.0.0/16, 20.1.0.0/16, x` + strings.Repeat(" ", 24) + `
      | ` + strings.Repeat(" ", 75) + `^`,
		},
		{
			"a password is not shown", "  dial: 127.0.0.1:179\n", "  dial: 127.0.0.1:179\n  password: 5\n", `
routed.yaml:8:13: bird.password: is not text; put it in quotes
    8 |   password: ...
      |             ^`,
		},
		{
			"nor with a mistake in its key", "bird:\n  dial: 127.0.0.1:179\n", "bird: {dial: 127.0.0.1:179, Password: s3cret}\n", `
routed.yaml:6:29: unknown key "Password" in bird; there are: dial, accept, password, passwordFile
    6 | bird: {dial: 127.0.0.1:179, Password: ...
      |                             ^`,
		},
		{
			"nor in a syntax error", "bird:\n", "bird: {password: \"s3cret\n", `
routed.yaml:6:18: could not find end character of double-quoted text
    6 | bird: {password: ...
      |                  ^`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(edit(t, tt.old, tt.with)), "routed.yaml", Env{})
			if err == nil {
				t.Fatal("accepted")
			}
			if got, want := err.Error(), strings.TrimPrefix(tt.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestRawStructs: the raw structs hold nothing that fill does not know, and each knows its place.
func TestRawStructs(t *testing.T) {
	leaves := map[reflect.Type]bool{
		reflect.TypeFor[scalar](): true, reflect.TypeFor[list](): true, reflect.TypeFor[oneOrMany](): true,
	}
	var walk func(typ reflect.Type)
	walk = func(typ reflect.Type) {
		if leaves[typ] {
			return
		}
		switch typ.Kind() {
		case reflect.Slice, reflect.Pointer:
			walk(typ.Elem())
		case reflect.Struct:
			if !reflect.PointerTo(typ).Implements(reflect.TypeFor[placed]()) {
				t.Errorf("%v has no place", typ)
			}
			for i := range typ.NumField() {
				if f := typ.Field(i); f.Tag.Get("yaml") != "" {
					walk(f.Type)
				} else if f.Type != reflect.TypeFor[place]() {
					t.Errorf("%v.%s has no key", typ, f.Name)
				}
			}
		default:
			t.Errorf("fill does not know %v", typ)
		}
	}
	walk(reflect.TypeFor[raw]())
}
