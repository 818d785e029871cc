package metrics

import (
	"bytes"
	"html/template"
	"net/http"
)

const landingPage = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>routed</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 40em; margin: 3em auto; padding: 0 1em; }
dt { font-weight: 600; }
dd { margin: 0 0 .7em; }
</style>
</head>
<body>
<h1>routed</h1>
<p>Pod routes between Calico clusters, on this node.</p>
<dl>
<dt>Ready</dt><dd>{{if .NotReady}}no: {{.NotReady}}{{else}}yes{{end}}</dd>
<dt>Version</dt><dd>{{.Version}}{{with .Revision}} ({{.}}){{end}}, {{.GoVersion}}</dd>
</dl>
<ul>
<li><a href="metrics">Metrics</a>, for Prometheus</li>
<li><a href="healthz">Health</a>: the daemon's loops turn</li>
<li><a href="readyz">Readiness</a>: the kernel table is adopted and the mesh has converged</li>
</ul>
<p><code>routed status</code> on the node says more.</p>
</body>
</html>
`

// landing is the page for people.
func (s *Server) landing(w http.ResponseWriter, _ *http.Request) {
	view := struct {
		Build
		NotReady string
	}{Build: s.cfg.Build}
	if err := s.cfg.Ready(); err != nil {
		view.NotReady = err.Error()
	}
	page, err := template.New("landing").Parse(landingPage)
	var body bytes.Buffer
	if err == nil {
		err = page.Execute(&body, view)
	}
	if err != nil {
		s.cfg.Log.Error("landing page not written", "event", "metrics-page", "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	if _, err := w.Write(body.Bytes()); err != nil {
		s.cfg.Log.Debug("metrics client left", "event", "metrics-client-left", "error", err)
	}
}
