package admin

import (
	"fmt"
	"strings"
)

// probesImpossible: probes are wanted, and this daemon cannot send any.
func probesImpossible(s Status) []Problem {
	if s.Probe == nil || s.Probe.Error == "" {
		return nil
	}
	return []Problem{{
		Severity: Warning, Code: CodeProbesImpossible,
		Text:   "probes are switched on and not possible: " + firstLine(s.Probe.Error),
		Remedy: "let the daemon have CAP_NET_RAW (CapabilityBoundingSet of the unit, securityContext of the pod), or set probe.interval to 0s",
	}}
}

func probesFailing(s Status) []Problem {
	var out []Problem
	if s.Probe == nil {
		return nil
	}
	for _, c := range s.Probe.Targets {
		if c.Failing == 0 {
			continue
		}
		what, where := "next hop", "that the node is up and the way to it is, and that ICMP echo is let through both ways"
		if c.Kind == "address" {
			what, where = "address", "that somebody there has the address still, and with `routed why ADDRESS` where the way to it ends"
		}
		verb := "do"
		if c.Failing == 1 {
			verb = "does"
		}
		out = append(out, Problem{
			Severity: Warning, Code: CodeProbesFailing, Cluster: c.Cluster,
			Text: fmt.Sprintf("%d of the %s of cluster %s that are probed %s not answer ICMP echo: %s", c.Failing,
				count(c.Answering+c.Failing+c.Unprobed, what), c.Cluster, verb, s.named(s.Probe.Failing, c, c.Failing, s.failingFor)),
			Remedy: "see " + where,
		})
	}
	return out
}

// pathMTUSmall: packets as large as pods send do not reach a next hop whole.
func pathMTUSmall(s Status) []Problem {
	var out []Problem
	if s.Probe == nil {
		return nil
	}
	for _, c := range s.Probe.Targets {
		if c.Narrow == 0 {
			continue
		}
		out = append(out, Problem{
			Severity: Warning, Code: CodePathMTUSmall, Cluster: c.Cluster,
			Text: fmt.Sprintf("packets of this node's pods have up to %d bytes, and the way to %s of cluster %s takes less: %s",
				s.Probe.PodMTU, count(c.Narrow, "next hop"), c.Cluster, s.named(s.Probe.Narrow, c, c.Narrow, mtuOf)),
			Remedy: fmt.Sprintf("give the link in between an MTU of %d, or the pods of both clusters one of %d (Calico's veth MTU); "+
				"until then large packets are lost wherever ICMP is filtered", s.Probe.PodMTU, c.PathMTU),
		})
	}
	return out
}

// named lists some of the targets that one problem is about, of so many.
func (s Status) named(list []ProbeTarget, c ProbeCount, all int, one func(ProbeTarget) string) string {
	var words []string
	for _, t := range list {
		if t.Cluster == c.Cluster && t.Kind == c.Kind && len(words) < namesShown {
			words = append(words, one(t))
		}
	}
	if more := all - len(words); more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(words, ", ")
}

func (s Status) failingFor(t ProbeTarget) string {
	text := t.Address.String()
	if t.NextHop.IsValid() && t.NextHop != t.Address {
		text += " via " + t.NextHop.String()
	}
	text += " for " + s.age(t.Since)
	if t.Reason != "" {
		text += " (" + t.Reason + ")"
	}
	return text
}

func mtuOf(t ProbeTarget) string { return fmt.Sprintf("%s %d", t.Address, t.PathMTU) }
