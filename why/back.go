package why

import (
	"fmt"
	"strings"

	"routed/admin"
	"routed/peering"
)

// birdRemedy is what to see to when the local BIRD is silent.
const birdRemedy = "see that calico-node runs on this node, that its BGPPeer for routed exists, and that it fits bird.dial or bird.accept"

// back is whether answers find the way back to pods of this node: the others know only the blocks that they are told.
func (w *way) back() {
	var blocks []string
	worst := peering.OwnBlock{Source: peering.OwnFromBIRD}
	for _, b := range w.Own {
		if peering.FamilyOf(b.Prefix.Addr()) != peering.FamilyOf(w.Address) {
			continue
		}
		blocks = append(blocks, b.Prefix.String())
		if b.Source != peering.OwnFromBIRD {
			worst = b
		}
	}
	text := strings.Join(blocks, ", ")
	switch {
	case len(blocks) == 0 && w.birdUp():
		w.good(stepReturn, "this node has no block, and so no pods that need an answer")
	case len(blocks) == 0:
		w.add(stepReturn, admin.StepWarning, birdRemedy,
			"remote clusters are told of no block of this node: there is no session with its BIRD%s; pods that it has get no answer", w.birdReason())
	case worst.Source == peering.OwnFromStale:
		left := admin.Age(worst.Since.Add(w.Config.Mesh.Retention).Sub(w.At))
		w.add(stepReturn, admin.StepWarning, birdRemedy,
			"answers to pods of %s find back for %s more: the session with this node's BIRD was lost %s ago%s, and then nobody is told of them any more",
			text, left, w.age(worst.Since), w.birdReason())
	case worst.Source == peering.OwnFromKernel:
		w.add(stepReturn, admin.StepWarning, birdRemedy,
			"answers to pods of %s find back as long as the kernel has %s: BIRD does not speak of it%s", text, worst.Prefix, w.birdReason())
	default:
		w.good(stepReturn, "answers find back: remote clusters are told of %s, as this node's BIRD says", text)
	}
}

// birdUp says whether any session with the local BIRD is up.
func (w *way) birdUp() bool {
	for _, p := range w.BIRD {
		if p.Up {
			return true
		}
	}
	return false
}

// birdReason is why none is, in brackets.
func (w *way) birdReason() string {
	for _, p := range w.BIRD {
		if !p.Up && p.Reason != "" {
			return fmt.Sprintf(" (%s)", p.Reason)
		}
	}
	return ""
}
