package main

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
)

// report prints the results, and writes them to a file when one was given.
func (b *bench) report() error {
	text := b.text()
	if _, err := fmt.Print(text); err != nil {
		return err
	}
	if b.out == "" {
		return nil
	}
	return os.WriteFile(b.out, []byte(text), 0o644)
}

func (b *bench) text() string {
	var s strings.Builder
	b.writeMachine(&s)
	for _, p := range allParts() {
		b.writePart(&s, p)
	}
	b.writeHolds(&s)
	b.writeMethod(&s)
	return s.String()
}

func (b *bench) writeMachine(s *strings.Builder) {
	m := b.machine
	fmt.Fprintf(s, "# routed beside BIRD and FRR\n\n%d cores (%s), %.1f GiB, Linux %s, %s, %s, routed %s. Load average %s at the begin, %s at the end",
		m.cores, m.model, float64(m.memory)/(1<<30), m.kernel, m.distro, m.golang, m.routed, m.load, load())
	s.WriteString(": what else the machine did is in the figures, so ratios within this run say more than they do.\n")
	if len(m.missing) > 0 {
		fmt.Fprintf(s, "\nNot here, and so not measured: %s.\n", strings.Join(m.missing, "; "))
	}
}

// heading says what a part is about.
func (p part) heading() string {
	switch p {
	case partInstall:
		return "(a) Learned over one BGP session into the kernel"
	case partRepair:
		return "(b) Repair"
	case partBlock:
		return "(c) One more block"
	case partLink:
		return "(d) Link down and up"
	case partFlush:
		return "(e) Removing everything: `routed flush` and `ip route flush`"
	case partIdle:
		return "(f) Steady state"
	case partSessions:
		return "(g) A session with every node"
	case partReflectors:
		return "(h) Two route reflectors, each with all routes"
	case partScrape:
		return "(i) Looking on, with a session with every node"
	default:
		return string(p)
	}
}

// column is who is shown in a part's table.
type column struct{ id, name string }

// columns are those who have a result in the part.
func (b *bench) columns(p part) []column {
	var all []column
	for _, c := range b.competitors {
		all = append(all, column{c.id, c.name})
	}
	all = append(all, column{iproute2, "ip route flush"})
	return slices.DeleteFunc(all, func(c column) bool {
		return !slices.ContainsFunc(b.results.order, func(m metric) bool {
			return m.part == p && len(b.results.of(m, c.id)) > 0
		})
	})
}

// writePart is the table of a part: a line a metric, a column a competitor, then what routed is to BIRD 2 and FRR.
func (b *bench) writePart(s *strings.Builder, p part) {
	columns := b.columns(p)
	if len(columns) == 0 {
		return
	}
	fmt.Fprintf(s, "\n## %s\n\n| | routes |", p.heading())
	for _, c := range columns {
		fmt.Fprintf(s, " %s |", c.name)
	}
	ratios := slices.DeleteFunc([]column{{"bird2", "BIRD 2"}, {"frr", "FRR"}, {iproute2, "ip"}}, func(r column) bool {
		return !slices.ContainsFunc(columns, func(c column) bool { return c.id == r.id })
	})
	for _, r := range ratios {
		fmt.Fprintf(s, " routed : %s |", r.name)
	}
	s.WriteString("\n|---|--:|" + strings.Repeat("--:|", len(columns)+len(ratios)) + "\n")
	for _, m := range b.results.order {
		if m.part != p {
			continue
		}
		fmt.Fprintf(s, "| %s, %s | %s |", m.what, m.unit, thousands(m.size))
		for _, c := range columns {
			fmt.Fprintf(s, " %s |", cell(m, b.results.of(m, c.id)))
		}
		for _, r := range ratios {
			fmt.Fprintf(s, " %s |", figure(b.results.of(m, "routed").median()/b.results.of(m, r.id).median()))
		}
		s.WriteString("\n")
	}
}

// cell shows the samples of one competitor.
func cell(m metric, of samples) string {
	switch {
	case len(of) == 0:
		return "–"
	case m.tail:
		return fmt.Sprintf("%s, p99 %s (n %d)", figure(of.median()), figure(of.quantile(0.99)), len(of))
	case len(of) == 1:
		return figure(of[0])
	default:
		return fmt.Sprintf("%s (%s–%s)", figure(of.median()), figure(of.min()), figure(of.max()))
	}
}

// figure writes a value with three significant digits, without an exponent.
func figure(v float64) string {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case math.Abs(v) >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case math.Abs(v) >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case math.Abs(v) >= 1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	default:
		return strconv.FormatFloat(v, 'f', 3, 64)
	}
}

func (b *bench) writeHolds(s *strings.Builder) {
	s.WriteString("\n## What must hold\n\n| | seen |\n|---|---|\n")
	for _, h := range b.promises() {
		fmt.Fprintf(s, "| %s |\n", h)
	}
}

// promises are those about the parts that were asked for.
func (b *bench) promises() []hold {
	var all []hold
	if slices.ContainsFunc(oneNodeParts(), b.has) {
		all = holds(b.results, b.routes, b.few)
	}
	if b.has(partSessions) {
		for _, n := range b.sessions {
			all = append(all, sessionHolds(b.results, n)...)
		}
	}
	if b.has(partReflectors) {
		all = append(all, reflectorHolds(b.results, b.routes)...)
	}
	if b.has(partScrape) {
		all = append(all, scrapeHolds(b.results, b.routes)...)
	}
	return all
}

func (b *bench) writeMethod(s *strings.Builder) {
	look := 0.0
	if b.looks > 0 {
		look = inMs(b.looking) / float64(b.looks)
	}
	fmt.Fprintf(s, commonText, b.runs, inMs(b.sink), thousands(b.routes))
	if slices.ContainsFunc(oneNodeParts(), b.has) {
		fmt.Fprintf(s, oneNodeText, look, counterShare, b.events, b.scans, b.idle)
	}
	if b.has(partSessions) || b.has(partReflectors) {
		fmt.Fprintf(s, scaleText, b.idle, connectRetry, dialLate, backWatch, lossWatch)
	}
	if b.has(partScrape) {
		fmt.Fprintf(s, scrapeText, thousands(slices.Max(b.sessions)))
	}
}

const commonText = `
## Method

- Every competitor runs in a network namespace of its own, with one veth link to the sender, and learns over iBGP. Whole-table figures are
  the median of %d runs, with the least and the most; the competitors take turns, each run with fresh processes and a fresh namespace.
- The sender is a BGP speaker of our own that sends prebuilt UPDATEs of up to 4,096 bytes, then End-of-RIB. A reader that does
  nothing takes all of it in %.1f ms (%s routes).
- BIRD and FRR are Debian's packages. BIRD has the kernel, device and BGP options that Calico gives it (scan time 2 s, learn, persist, recursive gateway),
  without graceful restart; its routes go to main. FRR is bgpd and zebra, with Debian's options; its memory and time are those of both. routed is the
  release binary with its table 1790 and its default intervals, and a BIRD of its node that dials it and has one block. MB are 10^6 bytes.
`

const oneNodeText = `- (a) Routes are counted in /proc/net/fib_triestat, %.2f ms a look, with a rest of %d times that; times in between lie on a straight line. Session start is the
  first byte of the sender's OPEN. Memory is the sum of VmHWM one second after the last route, processor time utime + stime from before the session to the last route.
- (b) and (c) Single routes by the time stamps of one ` + "`ip -ts monitor route`" + `; %d repetitions, but %d for BIRD's repairs, each at a random phase of its scan, and fewer
  of what takes a competitor more than 15 s. A table
  is deleted whole by batches of 1,000 netlink messages with nobody listening, once, while the competitor may already put routes back.
- (d) ` + "`ip link set down`" + `, a quiet moment, ` + "`up`" + `: until each route leads to its next hop again, by the kernel's route events. The BGP session outlives it.
- (e) The table is filled by ` + "`ip -batch`" + `; the time is that of the whole command.
- (f) The daemons are watched for %s, from three seconds after the last route.
`

const scaleText = `- (g) The nodes are one process with an address each, permanent neighbours of the receiver's kernel. Those below the receiver's address dial it and the others
  wait to be dialled, as daemons of routed do; each tries again after at most %[2]s, and who waits dials as well after %[3]s. BIRD and FRR are
  configured to match: passive towards those that dial, BIRD with the timers of Calico, FRR with a connect timer of 2 s. Each node has five
  blocks. A start is that of the daemon's process while the nodes already try; a session is up when the node has the first KEEPALIVE. The idle daemon is watched
  for %[1]s. Then every node closes its connection at once, without a NOTIFICATION, and goes on as before; a block is lost when the kernel deletes
  its route or lets it lead nowhere, by its route events until %[4]s after the last session is back. The capability of graceful
  restart that nodes send names no family, so BIRD and FRR hold nothing over it.
- (h) Each reflector has every node's five blocks in an UPDATE of their own, with the node as next hop and ORIGINATOR_ID. Both begin when both sessions are up, so
  that nobody's dialling is in the figures. Memory and processor time are read when the daemon has come to rest. Each loss is watched for %[5]s:
  what has not been removed by then is not counted.
`

const scrapeText = `- (i) The nodes are those of (g), %s of them, and have all the routes between them. An answer is that to one request over a connection that stays, until its last
  byte is read; answers are not compressed. Repairs are those of (b), by turns while nobody asks, and while one client asks for the same page again and again without a rest.
`
