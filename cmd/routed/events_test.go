package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// sourceEvents are the events that the daemon's source can write, each with its levels; "" is one that the source works out.
type sourceEvents map[string]map[string]bool

func (s sourceEvents) add(event, level string) {
	if s[event] == nil {
		s[event] = map[string]bool{}
	}
	s[event][level] = true
}

// logMethods are the methods of a logger, by level.
func logMethods() map[string]string {
	out := map[string]string{"Log": "", "LogAttrs": ""}
	for _, level := range []string{"Debug", "Info", "Warn", "Error"} {
		out[level], out[level+"Context"] = strings.ToLower(level), strings.ToLower(level)
	}
	return out
}

// isLogger tells a logger by its name, as this project gives them.
func isLogger(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == "log"
	case *ast.SelectorExpr:
		return e.Sel.Name == "log" || e.Sel.Name == "Log"
	case *ast.CallExpr: // slog.New(…), log.With(…)
		s, ok := e.Fun.(*ast.SelectorExpr)
		return ok && (s.Sel.Name == "New" || s.Sel.Name == "With")
	}
	return false
}

func quoted(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}

// readCall looks at one call: whether it gives an event, and whether it is a line of the log that should have one.
func (s sourceEvents) readCall(call *ast.CallExpr) error {
	method, _ := call.Fun.(*ast.SelectorExpr)
	level, isLine := "", false
	if method != nil {
		level, isLine = logMethods()[method.Sel.Name]
		isLine = isLine && isLogger(method.X)
	}
	for i, arg := range call.Args[:max(len(call.Args)-1, 0)] {
		if key, _ := quoted(arg); key != "event" {
			continue
		}
		value := call.Args[i+1]
		if name, ok := quoted(value); ok {
			s.add(name, level)
			return nil
		}
		switch value := value.(type) {
		case *ast.BinaryExpr: // "guard-" + string(condition)
			if prefix, _ := quoted(value.X); prefix == "guard-" {
				s.add("guard-unavailable", "")
				s.add("guard-failing", "")
				return nil
			}
		case *ast.CallExpr: // string(e.Kind) of the mesh's events, whose names are constants
			if f, ok := value.Fun.(*ast.Ident); ok && f.Name == "string" {
				return nil
			}
		}
		return fmt.Errorf("an event's name that cannot be read: %T", value)
	}
	if isLine && method.Sel.Name != "LogAttrs" { // its attributes are put together before
		return errors.New("a line of the log without an event")
	}
	return nil
}

// readFile finds the events of one file, the names of the mesh's events among them.
func (s sourceEvents) readFile(t *testing.T, path string) {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if err := s.readCall(n); err != nil {
				t.Errorf("%s: %v", set.Position(n.Pos()), err)
			}
		case *ast.ValueSpec:
			if kind, ok := n.Type.(*ast.Ident); ok && kind.Name == "EventKind" && len(n.Values) == 1 {
				if name, ok := quoted(n.Values[0]); ok {
					s.add(name, "")
				}
			}
		}
		return true
	})
}

func readSourceEvents(t *testing.T) sourceEvents {
	t.Helper()
	out := sourceEvents{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && (slices.Contains([]string{"lab", "kubetest", "examples"}, name) || strings.HasPrefix(name, ".") && len(name) > 2):
			return fs.SkipDir
		case strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go"):
			out.readFile(t, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// docs/logs.md has a line for each event, and none for another; and the level is that of the source.
func TestEveryEventIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/logs.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| ([a-z, ]+) \\|").FindAllStringSubmatch(string(page), -1) {
		if _, twice := documented[row[1]]; twice {
			t.Errorf("docs/logs.md has %s twice", row[1])
		}
		documented[row[1]] = row[2]
	}
	source := readSourceEvents(t)
	if len(source) < 40 {
		t.Fatalf("only %d events found in the source: %v", len(source), slices.Sorted(maps.Keys(source)))
	}
	for _, event := range slices.Sorted(maps.Keys(source)) {
		levels, known := documented[event]
		if !known {
			t.Errorf("docs/logs.md does not tell of %s, %v", event, slices.Sorted(maps.Keys(source[event])))
			continue
		}
		for level := range source[event] {
			if !strings.Contains(levels, level) {
				t.Errorf("docs/logs.md has %s at level %s, the source at %s", event, levels, level)
			}
		}
	}
	for _, event := range slices.Sorted(maps.Keys(documented)) {
		if source[event] == nil {
			t.Errorf("docs/logs.md tells of %s, which nothing writes", event)
		}
	}
}

// The test must see what it looks for.
func TestEventsAreFound(t *testing.T) {
	for code, wrong := range map[string]bool{
		`log.Info("x", "event", "some-event")`:                        false,
		`log.Info("x")`:                                               true,
		`s.cfg.Log.WarnContext(ctx, "x", "peer", 1)`:                  true,
		`log.Info("x", "event", name)`:                                true,
		`log.With("event", "some-event")`:                             false,
		`l.LogAttrs(ctx, 0, "x", slog.String("event", "some-event"))`: false,
	} {
		e, err := parser.ParseExpr(code)
		if err != nil {
			t.Fatal(err)
		}
		s := sourceEvents{}
		failed := false
		ast.Inspect(e, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && s.readCall(call) != nil {
				failed = true
			}
			return true
		})
		if failed != wrong || !wrong && s["some-event"] == nil {
			t.Errorf("%s: wrong %t, found %v", code, failed, s)
		}
	}
}
