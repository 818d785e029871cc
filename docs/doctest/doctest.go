// Package doctest reads the project's Markdown for the tests that hold it to what it says: pages, links, the anchors that
// GitHub gives headings, and fenced code blocks with the words behind their language. It judges nothing; only tests use it.
//
// How blocks are marked: see docs/design/doctest.md.
package doctest

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
	"golang.org/x/net/html"
)

// Page is one file of Markdown.
type Page struct {
	Path    string // from the root of the repository, with slashes
	Links   []Link
	Anchors map[string]bool // what a fragment of a link to the page may be
	Blocks  []Block
	Spans   []Span
}

// Link is a link or an image.
type Link struct {
	Line  int
	Dest  string // as written
	Image bool
	Text  string // what it shows; of an image, the text in its place
}

// Block is a block of code.
type Block struct {
	Page   string
	Line   int      // of its first line of code
	Fenced bool     // else indented
	Lang   string   // the first word behind the fence
	Marks  []string // the other words there
	Text   string
	Shown  string // the block of no language that follows at once: what the commands print
}

// Span is code within a line.
type Span struct {
	Line int
	Text string
}

// At says where the block is, for messages.
func (b Block) At() string { return fmt.Sprintf("%s:%d", b.Page, b.Line) }

// Marked reports whether the word is among the marks.
func (b Block) Marked(word string) bool { return slices.Contains(b.Marks, word) }

// Root finds the root of the repository, the folder of go.mod, above the working directory.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "CHANGELOG.md")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no repository above the working directory: %w", fs.ErrNotExist)
		}
		dir = parent
	}
}

// Pages reads every page of the repository: what is fetched or built is not looked into.
func Pages(root string) ([]*Page, error) {
	var pages []*Page
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (strings.HasPrefix(name, ".") || slices.Contains([]string{"bin", "dist", "testdata"}, name)) {
			return fs.SkipDir
		}
		if d.IsDir() || filepath.Ext(name) != ".md" {
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		page, err := Parse(filepath.ToSlash(rel), source)
		pages = append(pages, page)
		return err
	})
	return pages, err
}

// Parse reads one page.
func Parse(path string, source []byte) (*Page, error) {
	r := &reader{source: source, page: &Page{Path: path, Anchors: map[string]bool{}}, line: 1}
	doc := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(text.NewReader(source))
	if err := ast.Walk(doc, r.visit); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r.page, nil
}

// reader gathers a page on the way through its tree.
type reader struct {
	source []byte
	page   *Page
	line   int // of the last piece of text that was met: inline nodes do not know theirs
}

func (r *reader) visit(n ast.Node, entering bool) (ast.WalkStatus, error) {
	if !entering {
		return ast.WalkContinue, nil
	}
	if n.Type() == ast.TypeBlock && n.Lines().Len() > 0 {
		r.line = r.lineOf(n.Lines().At(0).Start)
	}
	if first, ok := n.FirstChild().(*ast.Text); ok {
		r.line = r.lineOf(first.Segment.Start)
	}
	switch n := n.(type) {
	case *ast.Text:
		r.line = r.lineOf(n.Segment.Start)
	case *ast.Heading:
		r.heading(r.textOf(n))
	case *ast.Link:
		r.link(string(n.Destination), r.textOf(n), false)
	case *ast.Image:
		r.link(string(n.Destination), r.textOf(n), true)
	case *ast.AutoLink:
		r.link(string(n.URL(r.source)), string(n.Label(r.source)), false)
	case *ast.CodeSpan:
		r.page.Spans = append(r.page.Spans, Span{Line: r.line, Text: r.textOf(n)})
	case *ast.RawHTML:
		r.html(n.Segments.Value(r.source))
	case *ast.HTMLBlock:
		r.html(n.Lines().Value(r.source))
	case *ast.CodeBlock:
		r.block(n, Block{})
	case *ast.FencedCodeBlock:
		b := Block{Fenced: true}
		if n.Info != nil {
			if words := strings.Fields(string(n.Info.Value(r.source))); len(words) > 0 {
				b.Lang, b.Marks = words[0], words[1:]
			}
		}
		r.block(n, b)
	}
	return ast.WalkContinue, nil
}

func (r *reader) lineOf(offset int) int { return 1 + bytes.Count(r.source[:offset], []byte("\n")) }

// textOf is what a reader sees of a node.
func (r *reader) textOf(n ast.Node) string {
	var s strings.Builder
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		switch c := c.(type) {
		case *ast.Text:
			s.Write(c.Value(r.source))
			if c.SoftLineBreak() {
				s.WriteByte(' ')
			}
		case *ast.String:
			s.Write(c.Value)
		case *ast.AutoLink:
			s.Write(c.Label(r.source))
		default:
			s.WriteString(r.textOf(c))
		}
	}
	return s.String()
}

// heading adds the anchor of a heading; one that is there already gets a number, as GitHub does it.
func (r *reader) heading(title string) {
	anchor := Anchor(title)
	for n, unique := 0, anchor; ; n++ {
		if n > 0 {
			unique = fmt.Sprintf("%s-%d", anchor, n)
		}
		if !r.page.Anchors[unique] {
			r.page.Anchors[unique] = true
			return
		}
	}
}

func (r *reader) link(dest, shown string, image bool) {
	r.page.Links = append(r.page.Links, Link{Line: r.line, Dest: dest, Image: image, Text: shown})
}

// html finds the links, images and anchors of raw HTML. What is none ends the search, as in a browser.
func (r *reader) html(source []byte) {
	tokens := html.NewTokenizer(bytes.NewReader(source))
	for tokens.Next() != html.ErrorToken {
		token := tokens.Token()
		attr := map[string]string{}
		for _, a := range token.Attr {
			attr[a.Key] = a.Val
		}
		for _, key := range []string{"id", "name"} {
			if attr[key] != "" {
				r.page.Anchors[attr[key]] = true
			}
		}
		if token.Data == "a" && attr["href"] != "" {
			r.link(attr["href"], "", false)
		}
		for _, key := range []string{"src", "srcset"} {
			if attr[key] != "" {
				r.link(attr[key], attr["alt"], true)
			}
		}
	}
}

// block adds a block of code, or joins one of no language to the commands before it.
func (r *reader) block(n ast.Node, b Block) {
	b.Page, b.Line, b.Text = r.page.Path, r.line, string(n.Lines().Value(r.source))
	if _, follows := n.PreviousSibling().(*ast.FencedCodeBlock); follows && b.Fenced && b.Lang == "" {
		if last := len(r.page.Blocks) - 1; r.page.Blocks[last].Lang == "sh" {
			r.page.Blocks[last].Shown = b.Text
		}
	}
	r.page.Blocks = append(r.page.Blocks, b)
}
