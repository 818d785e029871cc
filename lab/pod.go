package lab

import (
	"context"
	"crypto/sha1" //nolint:gosec // Calico names interfaces by it; nothing is secured
	"encoding/hex"
	"net/netip"
)

const (
	// podGateway is what Calico gives every pod as its default gateway; the node answers for it by proxy ARP.
	podGateway = "169.254.1.1"
	// podGatewayMAC is the address of the node's side of every pod's veth pair, and podGateway6 what the kernel makes of it
	// (RFC 4291 appendix A): the default gateway of IPv6 pods.
	podGatewayMAC = "ee:ee:ee:ee:ee:ee"
	podGateway6   = "fe80::ecee:eeff:feee:eeee"
)

// PodNamespace is the namespace of a pod of this network.
func PodNamespace(pod netip.Addr) Namespace { return Namespace("pod-" + pod.String()) }

func buildPod(ctx context.Context, pod netip.Addr) error {
	lines := []string{"link set lo up", addAddress(pod, pod.BitLen(), "eth0"), "link set eth0 up"}
	if pod.Is6() {
		return PodNamespace(pod).batch(ctx, append(lines, "route add default via "+podGateway6+" dev eth0 onlink")...)
	}
	return PodNamespace(pod).batch(ctx, append(lines,
		"route add "+podGateway+" dev eth0 scope link",
		"route add default via "+podGateway+" dev eth0")...)
}

// caliInterface names the node's side of a pod's veth pair as Calico does: cali and 11 digits of a hash.
func caliInterface(pod netip.Addr) string {
	sum := sha1.Sum([]byte("default." + pod.String())) //nolint:gosec // a name, see the import
	return "cali" + hex.EncodeToString(sum[:])[:11]
}
