// Package docs_test holds the documentation to what it says: that its links lead somewhere, and that its examples are good.
// What its commands print is tested in package lab, what commands there are in cmd/routed.
package docs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"routed/docs/doctest"
)

// site is every page of the repository.
type site struct {
	root  string
	pages map[string]*doctest.Page
}

func read(t *testing.T) site {
	t.Helper()
	root, err := doctest.Root()
	if err != nil {
		t.Fatal(err)
	}
	pages, err := doctest.Pages(root)
	if err != nil {
		t.Fatal(err)
	}
	s := site{root: root, pages: map[string]*doctest.Page{}}
	for _, p := range pages {
		s.pages[p.Path] = p
	}
	return s
}

// target is where a link of a page leads: to a path from the root, empty for another site, and a fragment.
func (s site) target(from *doctest.Page, link doctest.Link) (to, fragment string, err error) {
	u, err := url.Parse(link.Dest)
	if err != nil {
		return "", "", err
	}
	switch {
	case u.Scheme == "https" && u.Host != "", u.Scheme == "mailto":
		return "", "", nil
	case u.Scheme == "http" && isLocal(u.Hostname()): // GFM makes links of addresses in the text
		return "", "", nil
	case u.Scheme != "" || u.Host != "":
		return "", "", errors.New("neither https nor relative")
	case u.Path == "" && u.Fragment == "":
		return "", "", errors.New("leads nowhere")
	case strings.HasPrefix(u.Path, "/"):
		return "", "", errors.New("is absolute; write it relative to the page")
	case u.Path == "":
		return from.Path, u.Fragment, nil
	}
	return path.Join(path.Dir(from.Path), u.Path), u.Fragment, nil
}

func isLocal(host string) bool { return host == "127.0.0.1" || host == "localhost" || host == "routed" }

// page is the page that a path shows: of a folder its README.
func (s site) page(to string) *doctest.Page {
	if p := s.pages[to]; p != nil {
		return p
	}
	return s.pages[path.Join(to, "README.md")]
}

// check says what is wrong with a link.
func (s site) check(from *doctest.Page, link doctest.Link) error {
	to, fragment, err := s.target(from, link)
	if err != nil || to == "" {
		return err
	}
	if !fs.ValidPath(to) {
		return errors.New("leaves the repository")
	}
	if _, err := os.Stat(filepath.Join(s.root, filepath.FromSlash(to))); err != nil {
		return err
	}
	if link.Image && strings.TrimSpace(link.Text) == "" {
		return errors.New("the picture has no text for those who do not see it")
	}
	if fragment == "" {
		return nil
	}
	page := s.page(to)
	if page == nil {
		return fmt.Errorf("%s is no page, and has no #%s", to, fragment)
	}
	if !page.Anchors[fragment] {
		return fmt.Errorf("%s has no heading #%s", page.Path, fragment)
	}
	return nil
}

func TestLinksResolve(t *testing.T) {
	s := read(t)
	links := 0
	for _, page := range s.pages {
		for _, link := range page.Links {
			links++
			if err := s.check(page, link); err != nil {
				t.Errorf("%s:%d: %s: %v", page.Path, link.Line, link.Dest, err)
			}
		}
	}
	if links < 100 {
		t.Errorf("only %d links found", links)
	}
}

func TestWrongLinksAreFound(t *testing.T) {
	s := read(t)
	for dest, want := range map[string]string{
		"nowhere.md":                       "no such file",
		"install.md#nowhere":               "no heading",
		"#nowhere":                         "no heading",
		"../../outside.md":                 "leaves the repository",
		"/docs/install.md":                 "absolute",
		"http://example.com/":              "neither https nor relative",
		"design/#nowhere":                  "no heading",
		"../Makefile#L1":                   "is no page",
		"":                                 "leads nowhere",
		"install.md":                       "",
		"design/":                          "",
		"../README.md#using-it":            "",
		"https://www.rfc-editor.org/#here": "",
	} {
		err := s.check(s.pages["docs/calico.md"], doctest.Link{Dest: dest})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", dest, err, want)
		}
	}
}

// TestEveryPageIsReached: whoever begins at README.md or docs/README.md comes to every page by links.
func TestEveryPageIsReached(t *testing.T) {
	s := read(t)
	reached := map[string]bool{}
	var walk func(p *doctest.Page)
	walk = func(p *doctest.Page) {
		if p == nil || reached[p.Path] {
			return
		}
		reached[p.Path] = true
		for _, link := range p.Links {
			if to, _, err := s.target(p, link); err == nil && to != "" {
				walk(s.page(to))
			}
		}
	}
	walk(s.pages["README.md"])
	walk(s.pages["docs/README.md"])
	for _, name := range slices.Sorted(pathsOf(s)) {
		if !reached[name] {
			t.Errorf("no way leads from README.md or docs/README.md to %s", name)
		}
	}
}

func pathsOf(s site) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for name := range s.pages {
			// GitHub itself shows the pages at the root.
			if strings.Contains(name, "/") && !yield(name) {
				return
			}
		}
	}
}
