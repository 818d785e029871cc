package admin

import (
	"fmt"
	"net/netip"
	"time"
)

// Why is the way of a packet from this node to one address, from its owner to the link: GET /v1/why?address=A.
type Why struct {
	Version int          `json:"version"`
	At      time.Time    `json:"at"`
	Node    WhyNode      `json:"node"`
	Address netip.Addr   `json:"address"`
	Routed  bool         `json:"routed"`            // as wanted: no step is broken; the server sets it
	Cluster string       `json:"cluster,omitempty"` // whose pod range holds the address
	Block   netip.Prefix `json:"block,omitzero"`
	NextHop netip.Addr   `json:"next_hop,omitzero"` // that is wanted
	Device  string       `json:"device,omitempty"`  // by which the kernel would send the packet now
	Steps   []Step       `json:"steps"`             // in the order of the way
}

// WhyNode is where the way begins.
type WhyNode struct {
	Cluster string     `json:"cluster"`
	Address netip.Addr `json:"address"`
}

// Step is one step of the way. Steps after a broken one are left out where they would have nothing to stand on.
type Step struct {
	Step   string    `json:"step"` // its name, stable
	State  StepState `json:"state"`
	Why    string    `json:"why"`
	Remedy string    `json:"remedy,omitempty"` // of every step that is not good
}

// StepState is how a step stands.
type StepState string

// The states of a step.
const (
	StepGood    StepState = "good"
	StepWarning StepState = "warning" // works, and is not as it should be
	StepUnknown StepState = "unknown" // cannot be told
	StepBroken  StepState = "broken"  // no packet gets there, or not as wanted
)

// Broken is the first broken step; nil: there is none.
func (w Why) Broken() *Step {
	for i := range w.Steps {
		if w.Steps[i].State == StepBroken {
			return &w.Steps[i]
		}
	}
	return nil
}

// ParseAddress reads the address that [Why] is asked for.
func ParseAddress(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil:
		return netip.Addr{}, fmt.Errorf("%q is no IP address", s)
	case a.Zone() != "":
		return netip.Addr{}, fmt.Errorf("%q has a zone, and no pod's address has", s)
	}
	return a.Unmap(), nil
}
