package why

import (
	"fmt"
	"strings"

	"routed/admin"
	"routed/config"
	"routed/kernel"
)

// inKernel is the part of the way that the kernel has: from the wanted route to the link.
func (w *way) inKernel() {
	if w.surveyed(stepRoute) {
		w.route()
		w.table()
		w.rule()
		w.lookup()
		w.link()
	}
}

// surveyed says whether the kernel was read, and tells when not.
func (w *way) surveyed(step string) bool {
	if w.KernelErr == nil {
		w.out.Device = w.Kernel.Link.Name
		return true
	}
	w.add(step, admin.StepBroken, "see `ip route get "+w.Address.String()+"` and the daemon's log", "the kernel could not be read: %v", w.KernelErr)
	return false
}

// route is whether the next hop can be reached.
func (w *way) route() {
	want := w.Kernel.Wanted
	if want.State == kernel.StateUnresolved {
		remedy := fmt.Sprintf("see that an interface that is up has %s in one of its subnets (`ip address`)", want.Route.NextHop)
		if down := w.Kernel.Down; down != "" {
			remedy = fmt.Sprintf("`ip link set %s up`; if it does not stay up, see what takes it down (`ip monitor link`)", down)
		}
		w.add(stepRoute, admin.StepBroken, remedy, "%s via %s is wanted, and cannot be: %s", want.Route.Prefix, want.Route.NextHop, want.Err)
		return
	}
	w.good(stepRoute, "%s via %s dev %s is wanted", want.Route.Prefix, want.Route.NextHop, want.Device)
}

// table is whether our table has the wanted route.
func (w *way) table() {
	want, table := w.Kernel.Wanted, w.Config.Kernel.Table
	holds := "nothing for the address"
	if len(w.Kernel.Holds) > 0 {
		holds = strings.Join(w.Kernel.Holds, "; ")
	}
	const status = "`routed status` says what goes wrong with the kernel, the daemon's log says more; routed tries again by itself"
	switch want.State {
	case kernel.StateUnresolved: // said already
	case kernel.StateInstalled:
		w.good(stepTable, "table %d has %s", table, holds)
	case kernel.StateConflict:
		w.add(stepTable, admin.StepBroken, "remove that route, or find out who installs it (`proto`); routed never overwrites it",
			"the place in table %d is %s", table, want.Err)
	case kernel.StateMismatched:
		w.add(stepTable, admin.StepBroken, status, "table %d has another route of routed: %s%s", table, holds, w.failure())
	default:
		w.add(stepTable, admin.StepBroken, status, "table %d does not have it; it has %s%s", table, holds, w.failure())
	}
}

// failure is what the daemon heard of the kernel.
func (w *way) failure() string {
	if w.Failure == "" {
		return ""
	}
	return " (" + w.Failure + ")"
}

// rule is whether lookups come to our table.
func (w *way) rule() {
	switch table := w.Config.Kernel.Table; {
	case table == config.TableMain: // which the kernel's own rule leads to
	case w.Kernel.Leads:
		w.good(stepRule, "a rule leads lookups of the address to table %d", table)
	default:
		w.add(stepRule, admin.StepBroken,
			fmt.Sprintf("see `ip rule` for what holds its place (priority %d), and that the daemon has CAP_NET_ADMIN; routed puts it back by itself",
				w.Config.Kernel.RulePriority),
			"no rule leads lookups of the address to table %d", table)
	}
}

// lookup is what the kernel does with a packet, and who else decides when it is not us.
func (w *way) lookup() {
	d, want := w.Kernel.Decision, w.Kernel.Wanted
	there := d.Answer.Err == nil && d.Answer.Route.Gateway == want.Route.NextHop && w.Kernel.Link.Name == want.Device
	switch {
	case there && d.Ours:
		w.good(stepLookup, "the kernel answers %s%s", d.Text, source(d))
	case there:
		w.add(stepLookup, admin.StepWarning, w.cure(d), "the kernel answers with the right way, but by a route that is not routed's: %s%s", d.Text, source(d))
	case d.Answer.Err != nil:
		w.add(stepLookup, admin.StepBroken, w.cure(d), "the kernel sends no packet there: %s%s", d.Text, ahead(d))
	default:
		w.add(stepLookup, admin.StepBroken, w.cure(d), "the kernel answers otherwise: %s%s", d.Text, source(d))
	}
}

// source is where an answer comes from.
func source(d kernel.Decision) string {
	text := ", of table " + d.Table()
	if d.Rule.Table != 0 {
		text += " by rule " + d.Rule.String()
	}
	return text
}

// ahead is which rules may be to blame for an answer that names none.
func ahead(d kernel.Decision) string {
	if len(d.Ahead) == 0 {
		return ""
	}
	words := make([]string, len(d.Ahead))
	for i, r := range d.Ahead {
		words[i] = r.String()
	}
	return "; rules of others that come first: " + strings.Join(words, "; ")
}

// cure is what to do about an answer that is not ours.
func (w *way) cure(d kernel.Decision) string {
	table := w.Config.Kernel.Table
	switch {
	case d.Answer.Err == nil && d.Answer.Table == table && !d.Ours:
		return fmt.Sprintf("see who put the route into table %d (`ip route show table %d`), and remove it", table, table)
	case len(d.Ahead) > 0 && table != config.TableMain:
		return fmt.Sprintf("see what the rule is for (`ip rule`), and give it a priority above %d or remove it", w.Config.Kernel.RulePriority)
	default:
		return "mend what is broken before it: the lookup passes routed's table by"
	}
}

// elsewhere is what the kernel does where routed wants nothing.
func (w *way) elsewhere(state admin.StepState) {
	if !w.surveyed(stepLookup) {
		return
	}
	d := w.Kernel.Decision
	const remedy = "mend what is broken before it"
	switch {
	case d.Answer.Err != nil:
		w.add(stepLookup, admin.StepBroken, remedy, "the kernel sends no packet there: %s", d.Text)
	case state == admin.StepGood:
		w.good(stepLookup, "the kernel answers %s%s", d.Text, source(d))
	default:
		w.add(stepLookup, state, remedy, "packets leave by a route that is not routed's: %s%s", d.Text, source(d))
	}
}

// link is the end of the way, where the kernel has packets go that way at all.
func (w *way) link() {
	if w.out.Steps[len(w.out.Steps)-1].State != admin.StepBroken {
		w.neighbor()
		w.device()
	}
}

// neighbor is whether the next hop answers on the link.
func (w *way) neighbor() {
	n, device := w.Kernel.Neighbor, w.Kernel.Link.Name
	ping := fmt.Sprintf("`ping %s`, then ask again", n.Addr)
	see := fmt.Sprintf("see that %s is up and on the link of %s (`ip neigh show %s`)", n.Addr, device, n.Addr)
	switch {
	case !n.Addr.IsValid():
	case n.State == kernel.NeighborFailed:
		w.add(stepNeighbor, admin.StepBroken, see, "%s does not answer on %s", n.Addr, device)
	case n.State == kernel.NeighborIncomplete && w.silent():
		w.add(stepNeighbor, admin.StepBroken, see, "%s does not answer on %s: it is being asked for, and its session is down", n.Addr, device)
	case n.State == kernel.NeighborIncomplete:
		w.add(stepNeighbor, admin.StepUnknown, ping, "%s is being asked for on %s and has not answered yet", n.Addr, device)
	case n.State == kernel.NeighborNone:
		w.add(stepNeighbor, admin.StepUnknown, ping, "%s has not been asked for on %s yet", n.Addr, device)
	default:
		w.good(stepNeighbor, "%s is known on %s (%s)", n.Addr, device, n.State)
	}
}

// silent is whether the session with the next hop was lost and is not back. Whoever goes on dialling it has the kernel ask
// for it all the time: then it hardly ever says that it failed.
func (w *way) silent() bool {
	if len(w.Mesh.Routes) == 0 {
		return false
	}
	r := w.Mesh.Routes[0]
	return !r.StaleSince.IsZero() && r.Peer == w.Kernel.Neighbor.Addr
}

// device is the link by which packets leave.
func (w *way) device() {
	switch l := w.Kernel.Link; {
	case l.Index == 0:
	case !l.Up:
		w.add(stepDevice, admin.StepBroken, "ip link set "+l.Name+" up", "%s is down", l.Name)
	case !l.Running:
		w.add(stepDevice, admin.StepBroken, "see its cable, or its other end (`ip link show "+l.Name+"`)", "%s has no carrier", l.Name)
	default:
		w.good(stepDevice, "%s is up, MTU %d", l.Name, l.MTU)
	}
}
