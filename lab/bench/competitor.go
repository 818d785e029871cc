package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"golang.org/x/sys/unix"

	"routed/lab"
)

// competitor is a daemon that learns routes over BGP and keeps them in the kernel.
type competitor struct {
	id    string // in flags
	name  string // in tables; the version is put behind it
	tools []lab.Tool
	table uint32 // where its routes are
	trie  string // the same, as /proc/net/fib_triestat names it
	proto uint8  // the route protocol that marks its routes
	port  uint16 // where it waits for the sender's connection
	scans bool   // it repairs when it scans the kernel, not on events

	withBIRD bool // it has a session with the BIRD of its node besides

	start  func(ctx context.Context, r *rig) ([]*child, error)
	inform func(ctx context.Context, o options) (version string, err error)
}

// competitors are all there are, in the order they take turns.
func competitors(o options) []competitor {
	return []competitor{
		{
			id: "routed", name: "routed", table: 1790, trie: "Id 1790", proto: 114, port: 1790, withBIRD: true,
			start:  func(ctx context.Context, r *rig) ([]*child, error) { return startRouted(ctx, r, o.routed) },
			inform: routedVersion,
		},
		bird("bird1.6", lab.BIRD16),
		bird("bird2", lab.BIRD2),
		{
			id: "frr", name: "FRR", tools: []lab.Tool{lab.FRR}, table: unix.RT_TABLE_MAIN, trie: "Main", proto: unix.RTPROT_BGP, port: bgpPort,
			start: startFRR,
			inform: func(ctx context.Context, _ options) (string, error) {
				return toolVersion(ctx, lab.FRR, "usr/lib/frr/zebra")
			},
		},
	}
}

func bird(id string, tool lab.Tool) competitor {
	return competitor{
		id: id, name: "BIRD", tools: []lab.Tool{tool}, table: unix.RT_TABLE_MAIN, trie: "Main", proto: unix.RTPROT_BIRD, port: bgpPort, scans: true,
		start: func(ctx context.Context, r *rig) ([]*child, error) { return startBIRD(ctx, r, tool) },
		inform: func(ctx context.Context, _ options) (string, error) {
			return toolVersion(ctx, tool, "usr/sbin/bird")
		},
	}
}

const asn = lab.CalicoASN

// writeConfig executes a template with what every configuration needs to know into a file of the rig.
func writeConfig(r *rig, name, text string) (path string, err error) {
	t, err := template.New(name).Parse(text)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	err = t.Execute(&out, map[string]any{
		"Dir": r.dir, "ASN": asn, "Receiver": r.site.receiver.Addr(), "Neighbors": r.site.neighbors, "NextHops": r.site.nextHops,
		"Port": nodePort, "Limit": maxRoutes + spareBlocks,
	})
	if err != nil {
		return "", err
	}
	path = filepath.Join(r.dir, name)
	return path, os.WriteFile(path, []byte(out.String()), 0o644)
}

// startTool starts a program of a tool in the rig's namespace.
func startTool(ctx context.Context, r *rig, tool lab.Tool, program string, args ...string) (*child, error) {
	found, err := tool.Find()
	if err != nil {
		return nil, err
	}
	cmd := r.ns.Command(context.WithoutCancel(ctx), found.Path(program), args...)
	return startChild(cmd, found.Env(), filepath.Join(r.dir, filepath.Base(program)+".out"))
}

func toolVersion(ctx context.Context, tool lab.Tool, program string) (string, error) {
	found, err := tool.Find()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, found.Path(program), "--version")
	cmd.Env = append(os.Environ(), found.Env()...)
	out, err := run(cmd)
	if err != nil {
		return "", err
	}
	if v := regexp.MustCompile(`version (\S+)`).FindStringSubmatch(out); v != nil {
		return v[1], nil
	}
	return "", fmt.Errorf("no version in %q", tail(out, 100))
}
