package doctor

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// checkHandMade looks for routes to pods of remote clusters that somebody added to main before there was a mesh. They are
// not in the way of a private table, and they rot: the day the block moves they send its packets astray wherever the mesh
// has no route.
func checkHandMade(h Host) []Check {
	const name = "hand-made-routes"
	if h.Strays.Err != nil {
		return []Check{unknown(name, h.Strays.Err, "look at main with `ip route` and `ip -6 route`")}
	}
	var checks []Check
	for _, s := range h.Strays.Value {
		if s.Protocol == unix.RTPROT_BIRD {
			continue // see checkReannounced
		}
		c := Check{Name: name, Result: Warning}
		switch {
		case s.Held:
			c.Why = fmt.Sprintf("main has %s; the mesh holds the block, nobody needs it", s.Text)
			c.Fix = s.Command
		case h.Owned.Table == tableMain:
			c.Why = fmt.Sprintf("main has %s, in the place of the mesh's own route", s.Text)
			c.Fix = "once the mesh knows the block (`routed routes` shows a conflict), run: " + s.Command
		default:
			c.Why = fmt.Sprintf("main has %s; the mesh does not hold the block yet", s.Text)
			c.Fix = fmt.Sprintf("once it does (`ip route show table %d`), run: %s", h.Owned.Table, s.Command)
		}
		checks = append(checks, c)
	}
	if len(checks) == 0 {
		checks = []Check{good(name, "main has no route to pods of remote clusters that somebody added by hand")}
	}
	return checks
}
