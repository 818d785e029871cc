package admin

import (
	"fmt"
	"time"
)

// resyncsMissed is how many intervals without a successful resync are a problem.
const resyncsMissed = 3

func birdDown(s Status) []Problem {
	var out []Problem
	for _, p := range s.BIRD {
		if p.Up {
			continue
		}
		text := fmt.Sprintf("no BGP session with the local BIRD %s %s", p.Address, downFor(s, p.Since, p.DownReason))
		if n := retained(s.Mesh.OwnBlocks); n > 0 && !p.Since.IsZero() {
			text += fmt.Sprintf("; %s of this node stay announced until %s",
				count(n, "block"), clock(s.retainedUntil(p.Since)))
		}
		out = append(out, Problem{
			Severity: Critical, Code: CodeBIRDDown, Text: text,
			Remedy: "see that calico-node runs on this node, that its BGPPeer for routed exists, " +
				"and that it fits bird.dial or bird.accept",
		})
	}
	return out
}

// keysRefused: a peer whose key the kernel does not take would be one without a password, so it is none.
func keysRefused(s Status) []Problem {
	if s.KeysRefused == 0 {
		return nil
	}
	return []Problem{{
		Severity: Critical, Code: CodeKeysRefused,
		Text: fmt.Sprintf("%s %s held closed, since the kernel refused the TCP MD5 key: %s",
			count(s.KeysRefused, "peer"), isVerb(s.KeysRefused), s.KeyRefusal),
		Remedy: "set the sysctl that is named, for good in /etc/sysctl.d; the keys are tried again twice a minute and at a reload",
	}}
}

// ownRefused: the local BIRD announces blocks, and every one of them is refused. Some refused ones are normal: a node
// that is a route reflector passes on the blocks of the others.
func ownRefused(s Status) []Problem {
	var accepted, refused int
	var last *Rejection
	for _, p := range s.BIRD {
		for _, f := range p.Prefixes {
			accepted += f.Accepted
			refused += f.Rejected
		}
		if n := len(p.LastRejected); n > 0 && (last == nil || p.LastRejected[n-1].At.After(last.At)) {
			last = &p.LastRejected[n-1]
		}
	}
	if accepted > 0 || refused == 0 {
		return nil
	}
	return []Problem{{
		Severity: Warning, Code: CodeOwnBlocksRefused,
		Text: fmt.Sprintf("the local BIRD announces %s and each is refused%s", count(refused, "prefix"), because(last)),
		Remedy: "see that cluster.podCIDRs covers the pod network of this cluster and that node.address is the " +
			"address Calico uses for this node",
	}}
}

func rulesMissing(s Status) []Problem {
	k := s.Kernel
	missing := k.RulesWanted - k.RulesPresent
	if missing <= 0 {
		return nil
	}
	return []Problem{{
		Severity: Critical, Code: CodeRulesMissing,
		Text: fmt.Sprintf("%d of the %s that lead to table %d %s not in the kernel: its routes are passed over",
			missing, count(k.RulesWanted, "rule"), k.Table, isVerb(missing)),
		Remedy: "see `ip rule` for what holds their place, and that the daemon has CAP_NET_ADMIN",
	}}
}

// hostChecks are those of the doctor that fail.
func hostChecks(s Status) []Problem {
	var out []Problem
	for _, c := range s.HostChecks {
		if c.Result == CheckFailed {
			out = append(out, Problem{Severity: Critical, Code: CodeHostCheck, Text: c.Name + ": " + c.Why, Remedy: c.Fix})
		}
	}
	return out
}

func notAdopted(s Status) []Problem {
	if s.Kernel.Adopted {
		return nil
	}
	return []Problem{{
		Severity: Warning, Code: CodeNotAdopted,
		Text: fmt.Sprintf("table %d has not been read from the kernel yet, %s after the start%s",
			s.Kernel.Table, s.age(s.Node.Started), lastError(s.Kernel)),
		Remedy: "wait a moment; if it stays, see that the daemon has CAP_NET_ADMIN, and its log",
	}}
}

// guardDown: a guard that is demanded is not there, or one that could be there is not as wanted. That a host cannot have
// one is no problem where the configuration leaves it open.
func guardDown(s Status) []Problem {
	g := s.Guard
	demanded := g.Mode == "nftables"
	if g.State != GuardFailing && (g.State != GuardUnavailable || !demanded) {
		return nil
	}
	text := "the kernel does not guard the BGP port as wanted"
	remedy := "see `nft list table inet routed` and the daemon's log; meanwhile keep the port closed to others than the remote nodes"
	if g.Mode == "none" {
		text, remedy = "the guard in front of the BGP port cannot be removed", "remove it by hand: `nft delete table inet routed`"
	}
	return []Problem{{
		Severity: Warning, Code: CodeGuardDown,
		Text:   fmt.Sprintf("%s, for %s: %s", text, s.age(g.Since), firstLine(g.Reason)),
		Remedy: remedy,
	}}
}

func reloadFailed(s Status) []Problem {
	c := s.Config
	if c.LastReloadOK {
		return nil
	}
	text := fmt.Sprintf("the reload of %s was refused", c.File)
	if !c.LastReloadAt.IsZero() {
		text += fmt.Sprintf(" %s ago", s.age(c.LastReloadAt))
	}
	if c.LastReloadError != "" {
		text += ": " + firstLine(c.LastReloadError)
	}
	return []Problem{{
		Severity: Warning, Code: CodeReloadFailed,
		Text:   text + "; the configuration from before stays in force",
		Remedy: "correct the file (`routed check --config " + c.File + "` says what is wrong); it is read again when it changes",
	}}
}

func resyncOverdue(s Status) []Problem {
	k := s.Kernel
	since := k.LastResync
	if since.IsZero() {
		since = s.Node.Started
	}
	if k.ResyncSeconds <= 0 || s.At.Sub(since).Seconds() <= resyncsMissed*k.ResyncSeconds {
		return nil
	}
	return []Problem{{
		Severity: Warning, Code: CodeResyncOverdue,
		Text: fmt.Sprintf("no full compare with the kernel has succeeded for %s, one is due every %s%s",
			s.age(since), Age(seconds(k.ResyncSeconds)), lastError(k)),
		Remedy: "see the daemon's log; if it is silent, restart the daemon (its routes stay)",
	}}
}

func notConverged(s Status) []Problem {
	if s.Mesh.Converged {
		return nil
	}
	text := fmt.Sprintf("the mesh has not converged yet, %s after the start: no route is deleted meanwhile",
		s.age(s.Node.Started))
	remedy := "wait until every peer has sent its routes"
	if t := s.Mesh.ConvergeBefore; t.After(s.At) {
		remedy += ", at most " + Age(t.Sub(s.At))
	}
	return []Problem{{Severity: Warning, Code: CodeNotConverged, Text: text, Remedy: remedy}}
}

func (s Status) retainedUntil(lost time.Time) time.Time {
	return lost.Add(seconds(s.Mesh.RetentionSeconds))
}

func retained(own []OwnBlock) int {
	n := 0
	for _, b := range own {
		if b.Source == "retained" {
			n++
		}
	}
	return n
}

func lastError(k Kernel) string {
	if k.LastError == "" {
		return ""
	}
	return ": " + firstLine(k.LastError)
}
