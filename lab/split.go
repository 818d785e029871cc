package lab

import (
	"context"
	"fmt"
)

// farBridge is the LAN's other half while it is split.
const farBridge = "br1"

// Split cuts the LAN in two: the nodes of the named cluster reach each other and nobody else. No link goes down and nobody
// is told, as when a switch between two rooms fails.
func (n *Network) Split(ctx context.Context, cluster string) error {
	lines := []string{"link add " + farBridge + " type bridge stp_state 0 mcast_snooping 0", "link set " + farBridge + " up"}
	for i, node := range n.nodes {
		if node.Cluster.Name == cluster {
			lines = append(lines, fmt.Sprintf("link set port%d master %s", i, farBridge))
		}
	}
	return Namespace(lanNamespace).batch(ctx, lines...)
}

// Join makes the LAN one again.
func (n *Network) Join(ctx context.Context) error {
	var lines []string
	for i := range n.nodes {
		lines = append(lines, fmt.Sprintf("link set port%d master %s", i, lanBridge))
	}
	return Namespace(lanNamespace).batch(ctx, append(lines, "link del "+farBridge)...)
}
