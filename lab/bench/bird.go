package main

import (
	"context"
	"path/filepath"

	"routed/lab"
)

// birdText is the part of Calico's bird.cfg that carries routes from a BGP session into the kernel. Calico's tunnel
// option, which stock BIRD lacks, and its graceful restart, which would hold the kernel back for the first seconds, are
// left out.
const birdText = `log "{{.Dir}}/bird.log" { warning, error, fatal, bug, auth };
router id {{.Receiver}};

filter calico_kernel_programming {
  if (source = RTS_DEVICE) then { reject; }
  accept;
}

protocol device {
  scan time 2;
}
`

// birdTimers are those that Calico has given its BIRD since 3.4.
const birdTimers = `
  connect delay time 2;
  connect retry time 5;
  error wait time 5, 30;
{{- if .Dials}}
  passive;
{{- end}}`

const bird1Text = birdText + `
protocol kernel {
  learn;
  persist;
  scan time 2;
  import all;
  export filter calico_kernel_programming;
}

protocol direct {
  interface "eth0";
}

{{range $i, $n := .Neighbors}}
protocol bgp sender{{$i}} {
  local as {{$.ASN}};
  neighbor {{.Addr}} {{if not .Dials}}port {{$.Port}} {{end}}as {{$.ASN}};
  multihop;
  source address {{$.Receiver}};
  gateway recursive;` + birdTimers + `
  import all;
  export none;
}
{{end}}`

const bird2Text = birdText + `
protocol kernel {
  learn;
  persist;
  scan time 2;
  ipv4 {
    import all;
    export filter calico_kernel_programming;
  };
}

protocol direct {
  ipv4;
  interface "eth0";
}

{{range $i, $n := .Neighbors}}
protocol bgp sender{{$i}} {
  local {{$.Receiver}} as {{$.ASN}};
  neighbor {{.Addr}} {{if not .Dials}}port {{$.Port}} {{end}}as {{$.ASN}};
  multihop;` + birdTimers + `
  ipv4 {
    gateway recursive;
    import all;
    export none;
  };
}
{{end}}`

func startBIRD(ctx context.Context, r *rig, tool lab.Tool) ([]*child, error) {
	text := bird1Text
	if tool == lab.BIRD2 {
		text = bird2Text
	}
	path, err := writeConfig(r, "bird.conf", text)
	if err != nil {
		return nil, err
	}
	c, err := startTool(ctx, r, tool, "usr/sbin/bird",
		"-f", "-c", path, "-s", filepath.Join(r.dir, "bird.ctl"), "-P", filepath.Join(r.dir, "bird.pid"))
	return []*child{c}, err
}
