package config

import (
	"os"
	"reflect"
	"regexp"
	"sort"
	"strings"
	"testing"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/google/go-cmp/cmp"
)

func reference(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("reference.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestReferenceShowsDefaults: reference.yaml parses, and where it says default it shows the real one: taking away
// every key that has a default changes nothing.
func TestReferenceShowsDefaults(t *testing.T) {
	got, err := Parse([]byte(reference(t)), "reference.yaml", Env{})
	if err != nil {
		t.Fatal(err)
	}
	// What is left has no default: the required keys, and those whose default is "none".
	const required = `
cluster: {name: cluster-1, podCIDRs: [10.1.0.0/16], serviceCIDRs: [10.0.0.0/24]}
bird: {dial: 127.0.0.1:179}
remotes:
  - name: cluster-2
    podCIDRs: [20.1.0.0/16]
    nodes: {addresses: [9.111.255.152, 9.111.255.155, 9.111.255.77]}
`
	nodeIP := func(string) string { return "9.111.255.21" }
	want, err := Parse([]byte(required), "required.yaml", Env{Getenv: nodeIP})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, plain()); diff != "" {
		t.Error(diff)
	}
	if err := Check(got, nil); err != nil {
		t.Error(err)
	}
}

// TestReferenceHasEveryKey: the keys of reference.yaml, those behind a # included, are those of the raw structs.
func TestReferenceHasEveryKey(t *testing.T) {
	text := regexp.MustCompile(`(?m)^(\s*)#(\w+:)`).ReplaceAllString(reference(t), "$1$2")
	file, err := parser.ParseBytes([]byte(text), 0)
	if err != nil {
		t.Fatal(err)
	}
	inFile := make(map[string]bool)
	var walkNode func(path string, n ast.Node)
	walkNode = func(path string, n ast.Node) {
		switch n := n.(type) {
		case ast.MapNode:
			for iter := n.MapRange(); iter.Next(); {
				key := path + "." + iter.Key().String()
				inFile[key] = true
				walkNode(key, iter.Value())
			}
		case *ast.SequenceNode:
			for _, v := range n.Values {
				walkNode(path, v)
			}
		}
	}
	walkNode("", file.Docs[0].Body)

	inRaw := make(map[string]bool)
	var walkType func(path string, t reflect.Type)
	walkType = func(path string, typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Slice, reflect.Pointer:
			walkType(path, typ.Elem())
		case reflect.Struct:
			for i := range typ.NumField() {
				if key, ok := typ.Field(i).Tag.Lookup("yaml"); ok {
					inRaw[path+"."+key] = true
					walkType(path+"."+key, typ.Field(i).Type)
				}
			}
		default: // inside a scalar
		}
	}
	walkType("", reflect.TypeFor[raw]())
	if diff := cmp.Diff(sorted(inRaw), sorted(inFile)); diff != "" {
		t.Errorf("-raw structs +reference.yaml:\n%s", diff)
	}
	if len(inRaw) < 50 {
		t.Errorf("only %d keys", len(inRaw))
	}
}

// TestReferenceExplains: every key has a comment above it, its own or that of the key it is part of.
func TestReferenceExplains(t *testing.T) {
	key := regexp.MustCompile(`^(\s*)(- )?#?\w+:( |$)`)
	comment := regexp.MustCompile(`^(\s*)#( \S|$)`)
	fresh, indent := false, -1 // of the last comment
	for i, line := range strings.Split(reference(t), "\n") {
		if m := comment.FindStringSubmatch(line); m != nil {
			fresh, indent = true, len(m[1])
		} else if m := key.FindStringSubmatch(line); m != nil {
			if !fresh && len(m[1]) <= indent {
				t.Errorf("line %d: nothing explains %q", i+1, line)
			}
			fresh = false
		} else if line != "" {
			t.Errorf("line %d is neither comment nor key: %q", i+1, line)
		}
		if len(line) > 120 {
			t.Errorf("line %d is longer than 120", i+1)
		}
	}
}

func sorted(set map[string]bool) []string {
	var out []string
	for s := range set {
		out = append(out, s)
	}
	sort.Strings(out)
	return out
}
