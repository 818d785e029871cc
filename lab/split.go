package lab

import (
	"context"
	"fmt"
	"slices"
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

// LANMTU is the MTU of every link of the LAN until it is made narrow.
const LANMTU = 1500

// Narrow gives the LAN's end of the link to a node another MTU. As a switch does, it drops in silence what is larger, in
// either direction; where bridged packets do not pass iptables (br_netfilter) 4 bytes more than the MTU pass, for a VLAN tag
// (is_skb_forwardable in net/core/dev.c).
func (n *Network) Narrow(ctx context.Context, node *Node, mtu int) error {
	return Namespace(lanNamespace).batch(ctx, fmt.Sprintf("link set port%d mtu %d", slices.Index(n.nodes, node), mtu))
}

// AnswerEcho has a node answer ICMP echo over IPv4, or not.
func (node *Node) AnswerEcho(ctx context.Context, answer bool) error {
	ignore := 1
	if answer {
		ignore = 0
	}
	return node.sysctls(ctx, fmt.Sprintf("ipv4/icmp_echo_ignore_all=%d", ignore))
}
