package kube

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"routed/peering/roster"
)

// List asks for the nodes once, within what ctx allows and half a minute.
func List(ctx context.Context, t *Target) ([]roster.Node, error) {
	nodes, err := t.client.list(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, fmt.Errorf("list nodes at %s: %w", t.Server(), err)
	}
	m := newMembers(func([]roster.Node) {}, func(error) {})
	objs := make([]any, len(nodes.Items))
	for i := range nodes.Items {
		objs[i] = &nodes.Items[i]
	}
	if err := m.replace(objs); err != nil {
		return nil, err
	}
	return m.list(), nil
}
