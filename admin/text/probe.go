package text

import (
	"bufio"
	"fmt"
	"strconv"
	"time"

	"routed/admin"
)

// writeProbe says what the probes say. With probes off there is nothing to say.
func writeProbe(w *bufio.Writer, s admin.Status, o Options) {
	p := s.Probe
	if p == nil {
		return
	}
	section(w, o, "PROBES")
	interval, round := seconds(p.IntervalSeconds), seconds(p.RoundSeconds)
	every := "every " + admin.Age(interval)
	if round > interval {
		every = fmt.Sprintf("%s, not %s: too many for probe.packetsPerSecond", o.paint(warn, "every "+admin.Age(round)), admin.Age(interval))
	}
	if p.Error != "" {
		every = o.paint(warn, "not possible")
	}
	field(w, "ICMP echo", every)
	if p.PodMTU > 0 {
		field(w, "MTU of pods", strconv.Itoa(p.PodMTU))
	}
	t := table{head: heads("+CLUSTER", "PROBED", ">ANSWERING", ">SILENT", ">SLOWEST", ">PATH MTU")}
	for _, c := range p.Targets {
		t.add(
			cell{text: c.Cluster}, cell{text: probed(c.Kind)},
			cell{text: fmt.Sprintf("%d/%d", c.Answering, c.Answering+c.Failing+c.Unprobed), right: true, style: goodIf(c.Failing == 0)},
			cell{text: strconv.Itoa(c.Silent), right: true},
			cell{text: known(c.SlowestRTTSeconds > 0, admin.Took(c.SlowestRTTSeconds)), right: true},
			cell{text: known(c.PathMTU > 0, strconv.Itoa(c.PathMTU)), right: true, style: warnIf(c.Narrow)},
		)
	}
	if len(p.Targets) > 0 {
		t.write(w, o, indent)
	}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func probed(kind string) string {
	if kind == "next_hop" {
		return "next hops"
	}
	return "addresses"
}

func known(is bool, text string) string {
	if !is {
		return "-"
	}
	return text
}
