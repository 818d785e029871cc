package why

import (
	"fmt"

	"routed/admin"
	"routed/probe"
)

// probed is whether the next hop answers ICMP echo, where probes are on and one is over. It is no proof either way: a
// packet filter may let pass the one and not the other.
func (w *way) probed() {
	p := w.Probe
	if p == nil || w.out.Steps[len(w.out.Steps)-1].State == admin.StepBroken {
		return
	}
	switch {
	case p.State == probe.Failing:
		w.add(stepProbe, admin.StepWarning,
			fmt.Sprintf("see that the node is up, and that ICMP echo is let through both ways (`ping %s`)", p.Addr),
			"%s has not answered ICMP echo for %s: %s", p.Addr, w.age(p.Since), p.Reason)
	case p.State != probe.Answering:
	case p.MTU > 0 && p.MTU < w.PodMTU:
		w.add(stepProbe, admin.StepWarning,
			fmt.Sprintf("give the link in between an MTU of %d (`tracepath -n %s` shows where it is narrow), or pods one of %d", w.PodMTU, p.Addr, p.MTU),
			"%s answers ICMP echo, but the path MTU is %d, and this node's pods send up to %d", p.Addr, p.MTU, w.PodMTU)
	default:
		text := fmt.Sprintf("%s answers ICMP echo, in %s", p.Addr, p.RTT)
		if p.MTU > 0 {
			text += fmt.Sprintf("; the path MTU is %d", p.MTU)
		}
		w.good(stepProbe, "%s", text)
	}
}
