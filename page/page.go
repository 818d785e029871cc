package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"time"

	"routed/admin"
)

//go:embed page.html.tmpl mesh.svg.tmpl trouble.html.tmpl style.css
var files embed.FS

// Page writes status pages. It is immutable.
type Page struct {
	templates *template.Template
	style     template.CSS
}

// New reads the templates; an error is one of the program.
func New() (*Page, error) {
	t, err := template.New("").Funcs(template.FuncMap{"plural": plural, "spans": spans}).ParseFS(files, "*.tmpl")
	if err != nil {
		return nil, fmt.Errorf("templates of the status page: %w", err)
	}
	style, err := files.ReadFile("style.css")
	if err != nil {
		return nil, fmt.Errorf("style of the status page: %w", err)
	}
	return &Page{templates: t, style: template.CSS(style)}, nil
}

// Write writes the page of a node. The problems of s are worked out here, from the rest of it. A refresh that is not zero
// has a browser load the page again after that time.
func (p *Page) Write(w io.Writer, s admin.Status, peers admin.Peers, refresh time.Duration) error {
	return p.templates.ExecuteTemplate(w, "page.html.tmpl", newView(p.style, s.Judged(), peers, refresh))
}

// trouble is the page that stands in for a node's when there is none, and says why.
func (p *Page) trouble(why string, refresh time.Duration) ([]byte, error) {
	var b bytes.Buffer
	err := p.templates.ExecuteTemplate(&b, "trouble.html.tmpl", troubleView{Style: p.style, Refresh: refreshOf(refresh), Why: why})
	return b.Bytes(), err
}

// Policy is the Content-Security-Policy (W3C CSP level 3) of the pages: nothing is loaded, run, sent or framed, and the
// one style sheet is known by its hash.
func (p *Page) Policy() string {
	sum := sha256.Sum256([]byte(p.style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// troubleView is what the templates see of a page that could not be made.
type troubleView struct {
	Style   template.CSS
	Refresh refreshView
	Why     string
}
