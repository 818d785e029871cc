package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"routed/lab"
)

const bgpdText = `log file {{.Dir}}/bgpd.log errors
router bgp {{.ASN}}
 bgp router-id {{.Receiver}}
 no bgp ebgp-requires-policy
{{- $asn := .ASN}}{{$port := .Port}}
{{- range .Neighbors}}
 neighbor {{.Addr}} remote-as {{$asn}}
{{- if .Dials}}
 neighbor {{.Addr}} passive
{{- else}}
 neighbor {{.Addr}} port {{$port}}
 neighbor {{.Addr}} timers connect 2
{{- end}}
{{- end}}
`

const zebraText = `log file {{.Dir}}/zebra.log errors
`

// startFRR starts zebra and bgpd with the options of Debian's /etc/frr/daemons.
func startFRR(ctx context.Context, r *rig) ([]*child, error) {
	zebraConf, err1 := writeConfig(r, "zebra.conf", zebraText)
	bgpdConf, err2 := writeConfig(r, "bgpd.conf", bgpdText)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	socket := filepath.Join(r.dir, "zserv.api")
	common := func(conf, name string) []string {
		return []string{
			"-u", "root", "-g", "root", "-A", "127.0.0.1", "-f", conf, "-z", socket,
			"-i", filepath.Join(r.dir, name+".pid"), "--vty_socket", r.dir,
		}
	}
	zebra, err := startTool(ctx, r, lab.FRR, "usr/lib/frr/zebra", append(common(zebraConf, "zebra"), "-s", "90000000")...)
	if err != nil {
		return nil, err
	}
	there := func(context.Context) error {
		_, err := os.Stat(socket)
		return errors.Join(err, zebra.alive())
	}
	if _, err := lab.Within(ctx, 10*time.Second, "zebra's socket", there); err != nil {
		return []*child{zebra}, err
	}
	bgpd, err := startTool(ctx, r, lab.FRR, "usr/lib/frr/bgpd", append(common(bgpdConf, "bgpd"), "-l", r.site.receiver.Addr().String())...)
	return []*child{zebra, bgpd}, err
}
