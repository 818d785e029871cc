package text

import (
	"bufio"
	"cmp"
	"io"
	"strings"

	"routed/admin"
)

// Routes writes every route, a line each in the order given, and under it what keeps it from being installed.
func Routes(out io.Writer, r admin.Routes, o Options) error {
	w := bufio.NewWriter(out)
	t := table{head: heads("+PREFIX", "+CLUSTER", "+NEXT HOP", "+DEVICE", "STATE", "AGE", "STALE")}
	for _, one := range r.Routes {
		stale := ""
		if !one.StaleSince.IsZero() {
			stale = age(r.At, one.StaleSince)
		}
		line := t.add(
			cell{text: one.Prefix.String()},
			cell{text: one.Cluster},
			cell{text: one.NextHop.String()},
			cell{text: cmp.Or(one.Device, "-")},
			cell{text: string(one.State), style: goodIf(one.State == admin.RouteInstalled)},
			cell{text: since(r.At, one.Since)},
			cell{text: stale, style: warn},
		)
		if one.Error != "" {
			line.note(bad, one.Error)
		}
		if !one.HeldSince.IsZero() {
			line.note(warn, "withdrawn "+age(r.At, one.HeldSince)+" ago with most of its cluster; kept for a while")
		}
		if len(one.Rivals) > 0 {
			line.note(warn, "also announced by "+rivals(one))
		}
	}
	t.write(w, o, "")
	return w.Flush()
}

func rivals(r admin.Route) string {
	names := make([]string, 0, len(r.Rivals))
	for _, a := range r.Rivals {
		names = append(names, a.String())
	}
	return strings.Join(names, ", ")
}
