package main

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
)

// routedText is a node with one remote cluster that may announce all there is. Its BIRD opens the session.
const routedText = `cluster:
  name: receiver
  podCIDRs: [10.1.0.0/16]
  asn: {{.ASN}}
node:
  address: {{.Receiver}}
bird:
  accept: 127.0.0.1
remotes:
  - name: sender
    podCIDRs: [20.0.0.0/8]
    asn: {{.ASN}}
{{- if .NextHops.IsValid}}
    nodeCIDRs: [{{.NextHops}}]
    reflectors: [{{range .Neighbors}}"{{.Addr}}:{{$.Port}}", {{end}}]
{{- else}}
    nodes:
      addresses: [{{range .Neighbors}}{{.Addr}}, {{end}}]
{{- end}}
    limits: {prefixesPerNode: {{.Limit}}, prefixes: {{.Limit}}}
kernel:
  table: 1790
admin:
  socket: {{.Dir}}/routed.sock
`

func startRouted(ctx context.Context, r *rig, binary string) ([]*child, error) {
	path, err := writeConfig(r, "routed.yaml", routedText)
	if err != nil {
		return nil, err
	}
	cmd := r.ns.Command(context.WithoutCancel(ctx), binary, "run", "--config", path)
	c, err := startChild(cmd, nil, filepath.Join(r.dir, "routed.out"))
	return []*child{c}, err
}

func routedVersion(ctx context.Context, o options) (string, error) {
	out, err := run(exec.CommandContext(ctx, o.routed, "version"))
	first, _, _ := strings.Cut(out, "\n")
	return strings.TrimPrefix(first, "routed "), err
}
