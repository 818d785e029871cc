package kube

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"routed/peering"
	"routed/peering/roster"
)

// maxNodes bounds a list, as for files.
const maxNodes = 16384

var errTooMany = fmt.Errorf("more than %d nodes", maxNodes)

// members is the Reflector's store: of each Node its addresses. Only the reflector's goroutine uses it.
type members struct {
	nodes map[string][]netip.Addr // by the Node's name
	take  func([]roster.Node)     // gets the full list whenever it changed
	note  func(error)             // how it went
}

func newMembers(take func([]roster.Node), note func(error)) *members {
	return &members{nodes: map[string][]netip.Addr{}, take: take, note: note}
}

// Add, Update and Delete take in one Node, Replace all of them (cache.ReflectorStore).
func (m *members) Add(obj any) error { return m.Update(obj) }

// Update gives a new list only when an address changed: a Node changes its status all the time.
func (m *members) Update(obj any) error { return m.noted(m.update(obj)) }

// Delete removes one Node.
func (m *members) Delete(obj any) error { return m.noted(m.remove(obj)) }

// Replace takes what a list answered. It always gives a list, also an unchanged or an empty one: what to make of that
// is the taker's.
func (m *members) Replace(objs []any, _ string) error { return m.noted(m.replace(objs)) }

// Resync has nothing to do: there is no queue behind this store.
func (m *members) Resync() error { return nil }

func (m *members) noted(err error) error {
	m.note(err)
	return err
}

func (m *members) update(obj any) error {
	node, err := asNode(obj)
	if err != nil {
		return err
	}
	old, had := m.nodes[node.Name]
	if !had && len(m.nodes) >= maxNodes {
		return errTooMany
	}
	addrs := internalIPs(node)
	m.nodes[node.Name] = addrs
	if !slices.Equal(old, addrs) {
		m.take(m.list())
	}
	return nil
}

func (m *members) remove(obj any) error {
	node, err := asNode(obj)
	if err != nil {
		return err
	}
	old := m.nodes[node.Name]
	delete(m.nodes, node.Name)
	if len(old) > 0 {
		m.take(m.list())
	}
	return nil
}

func (m *members) replace(objs []any) error {
	if len(objs) > maxNodes {
		return errTooMany
	}
	nodes := make(map[string][]netip.Addr, len(objs))
	for _, obj := range objs {
		node, err := asNode(obj)
		if err != nil {
			return err
		}
		nodes[node.Name] = internalIPs(node)
	}
	m.nodes = nodes
	m.take(m.list())
	return nil
}

func asNode(obj any) (*corev1.Node, error) {
	node, ok := obj.(*corev1.Node)
	if !ok {
		return nil, fmt.Errorf("%T is not a Node", obj)
	}
	return node, nil
}

func (m *members) list() []roster.Node {
	var out []roster.Node
	for name, addrs := range m.nodes {
		for _, a := range addrs {
			out = append(out, roster.Node{Addr: a, Name: roster.CleanName(name)})
		}
	}
	return roster.Merge(out)
}

// internalIPs gives a Node's first usable InternalIP of each family: the kubelet lists the one it uses first, and one
// daemon is one session a family. What cannot be another host's address is passed over, not an error: the object is
// the other cluster's, and one such Node must not cost the rest.
func internalIPs(n *corev1.Node) []netip.Addr {
	var out []netip.Addr
	var have peering.Families
	for _, a := range n.Status.Addresses {
		if a.Type != corev1.NodeInternalIP {
			continue
		}
		addr, err := roster.ParseAddr(a.Address)
		if f := peering.FamilyOf(addr); err == nil && !have.Has(f) {
			have |= f
			out = append(out, addr)
		}
	}
	return out
}
