package lab

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
)

// AddLink gives the node one more link to the LAN, with an address of its own that is spoken for on that link only.
func (node *Node) AddLink(ctx context.Context, device string, addr netip.Prefix) error {
	port := fmt.Sprintf("port%d-%s", slices.Index(node.net.nodes, node), device)
	lan := Namespace(lanNamespace)
	err := lan.batch(ctx,
		fmt.Sprintf("link add %s type veth peer name %s netns %s", port, device, node.Namespace),
		fmt.Sprintf("link set %s master %s up", port, lanBridge))
	if err != nil {
		return err
	}
	// Without these each link would answer for all addresses of the node, and tell the others so (ip-sysctl.rst).
	settings := []string{"ipv4/conf/all/arp_ignore=1", "ipv4/conf/all/arp_announce=2"}
	if err := node.Sysctls(ctx, append(settings, "ipv4/conf/"+device+"/rp_filter=0")...); err != nil {
		return err
	}
	return node.batch(ctx, addAddress(addr.Addr(), addr.Bits(), device), "link set "+device+" up")
}

// RemoveLink takes away what AddLink added.
func (node *Node) RemoveLink(ctx context.Context, device string) error {
	if err := node.batch(ctx, "link del "+device); err != nil {
		return err
	}
	return node.Sysctls(ctx, "ipv4/conf/all/arp_ignore=0", "ipv4/conf/all/arp_announce=0")
}
