package probe

import (
	"fmt"
	"net"
	"slices"
	"strings"
)

// readLinks reads the MTUs of the devices that are up. Devices of pods lead to no target.
func readLinks(podDevices string) (links, error) {
	all, err := net.Interfaces()
	if err != nil {
		return links{}, fmt.Errorf("list the devices: %w", err)
	}
	var l links
	for _, i := range all {
		switch {
		case i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0:
		case podDevices != "" && strings.HasPrefix(i.Name, podDevices):
			l.podMTU = max(l.podMTU, i.MTU)
		case i.MTU >= leastMTU:
			l.mtus = append(l.mtus, min(i.MTU, largestPacket))
		}
	}
	slices.Sort(l.mtus)
	slices.Reverse(l.mtus)
	l.mtus = slices.Compact(l.mtus)
	return l, nil
}
