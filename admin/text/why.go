package text

import (
	"bufio"
	"fmt"
	"io"

	"routed/admin"
)

// Why writes where the way to an address ends and what to do, then the whole way.
func Why(out io.Writer, answer admin.Why, o Options) error {
	w := bufio.NewWriter(out)
	verdict, st := "routed as wanted", good
	if b := answer.Broken(); b != nil {
		verdict, st = "not routed as wanted: "+b.Step, urgent
	}
	headline(w, o, st, verdict, "", answer.Address.String(), fmt.Sprintf("from %s", answer.Node.Address), fmt.Sprintf("(%s):", answer.Node.Cluster))
	for _, state := range []admin.StepState{admin.StepBroken, admin.StepWarning, admin.StepUnknown} {
		for _, s := range answer.Steps {
			if s.State == state {
				writeTrouble(w, o, stepStyle(s.State), string(s.State), s.Step, s.Why, s.Remedy)
			}
		}
	}
	section(w, o, "THE WAY")
	writeSteps(w, o, answer.Steps)
	return w.Flush()
}

// writeSteps writes each step as its state, its name and what it found, which of those told above is not said again.
func writeSteps(w *bufio.Writer, o Options, steps []admin.Step) {
	states, names := 0, 0
	for _, s := range steps {
		states, names = max(states, len(s.State)), max(names, len(s.Step))
	}
	left := len(indent) + states + gap + names + gap
	for _, s := range steps {
		text := s.Why
		if s.State != admin.StepGood {
			text = "see above"
		}
		for i, line := range wrap(text, width-left) {
			if i > 0 {
				fmt.Fprintf(w, "%*s%s\n", left, "", line)
				continue
			}
			state := fmt.Sprintf("%-*s", states, s.State)
			fmt.Fprintf(w, "%s%s%*s%-*s%*s%s\n", indent, o.paint(stepStyle(s.State), state), gap, "", names, s.Step, gap, "", line)
		}
	}
}

func stepStyle(s admin.StepState) style {
	switch s {
	case admin.StepGood:
		return good
	case admin.StepBroken:
		return urgent
	default:
		return warn
	}
}
