package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"routed/config"
	"routed/kernel"
	"routed/snat"
)

// Host is what the checks see: the configuration, and how this host stands to it. It holds values only.
type Host struct {
	Owned   kernel.Config  // what routed owns in the kernel
	Lookups []netip.Prefix // the pod ranges of the remote clusters
	Pods    []netip.Prefix // of this node: its blocks where the kernel tells them, else the ranges of its cluster
	Rules   Fact[kernel.RuleSurvey]
	Table   Fact[kernel.TableSurvey]
	Strays  Fact[[]kernel.Stray]
	Hops    Fact[[]kernel.Hop] // the next hops of the table

	Forwarding   []Sysctl     // of each family and device that matters
	Capabilities Fact[uint64] // of this process, a bit each (capabilities(7)): the effective set
	UID          int          // of this process

	Returns  Fact[[]kernel.ReturnPath] // of packets of remote pods, and of this node's
	RPFilter []Sysctl                  // of all and of each device that Returns name, in that order

	OwnRanges    []netip.Prefix // cluster.podCIDRs
	OwnAddresses []netip.Addr   // of the node
	Blocks       Fact[[]netip.Prefix]
	BIRD         BIRD
	Ports        []Port
	Sockets      Fact[[]Socket]
	Topology     Fact[kernel.Topology]
	Neighbors    Fact[[]kernel.Neighbor]
	NeighborRoom []Sysctl // of each family that next hops have

	To            []netip.Prefix // where packets of pods go: Lookups, or an address in one of them
	Leave         []string       // the devices by which they leave
	SourceNAT     []snat.Finding // rules that change their source
	SourceNATGaps []snat.Gap     // rules that are not known

	KeyRoom Fact[KeyRoom] // not of Look: it takes who the peers are
}

// Fact is something that was read of the host, or why it could not be.
type Fact[T any] struct {
	Value T
	Err   error
}

func fact[T any](v T, err error) Fact[T] { return Fact[T]{Value: v, Err: err} }

// Sysctl is one kernel parameter, by the name that sysctl(8) knows it by.
type Sysctl struct {
	Key   string
	Value Fact[string]
}

// Sources are where a Host is read from.
type Sources struct {
	Config *config.Config
	Owned  kernel.Config
	FIB    kernel.FIB
	Proc   fs.FS // the host's /proc
	UID    int   // of this process
	NAT    func(context.Context) snat.Rules
	// Neighbors are those of both families (kernel.Netlink.Neighbors).
	Neighbors func(context.Context) ([]kernel.Neighbor, error)
}

// Look reads the host. What cannot be read is a fact too.
func Look(ctx context.Context, s Sources) Host {
	h := Host{Owned: s.Owned, UID: s.UID, Lookups: s.Config.RemotePodCIDRs()}
	h.Rules = fact(kernel.SurveyRules(ctx, s.Owned, s.FIB, h.Lookups))
	h.Table = fact(kernel.SurveyTable(ctx, s.Owned, s.FIB))
	h.Strays = fact(kernel.StrayRoutes(ctx, s.Owned, s.FIB, h.Lookups))
	h.Capabilities = fact(readCapabilities(s.Proc))
	h.readWay(ctx, s)
	h.readSessions(s)
	h.Topology = fact(s.FIB.Topology(ctx))
	h.Neighbors = fact(s.Neighbors(ctx))
	h.readNeighborRoom(s.Proc)
	return h
}

// readSessions reads what concerns the daemon's connections.
func (h *Host) readSessions(s Sources) {
	c := s.Config
	h.OwnAddresses = c.Node.Addresses()
	h.BIRD.Dial = c.BIRD.Dial
	for _, a := range c.BIRD.Accept {
		h.BIRD.Accept = append(h.BIRD.Accept, netip.AddrPortFrom(a, c.Listen.Port))
	}
	ports := []uint16{c.Listen.Port, c.Metrics.Listen.Port()}
	for _, a := range c.Listen.Addresses {
		h.Ports = append(h.Ports, Port{Key: "listen.port", At: netip.AddrPortFrom(a, c.Listen.Port)})
	}
	h.Ports = append(h.Ports, Port{Key: "metrics.listen", At: c.Metrics.Listen})
	h.Sockets = fact(readSockets(s.Proc))
	nameOwners(s.Proc, h.Sockets.Value, ports)
}

func (h *Host) readForwarding(proc fs.FS, devices []string) {
	for _, key := range forwardingKeys(h.Lookups, devices) {
		h.Forwarding = append(h.Forwarding, Sysctl{Key: key, Value: fact(readSysctl(proc, key))})
	}
}

// forwardingKeys are the parameters that pod traffic needs: per family that a remote cluster has pods in.
func forwardingKeys(lookups []netip.Prefix, devices []string) []string {
	ipv4 := func(p netip.Prefix) bool { return p.Addr().Is4() }
	ipv6 := func(p netip.Prefix) bool { return p.Addr().Is6() }
	var keys []string
	if slices.ContainsFunc(lookups, ipv4) {
		keys = append(keys, "net/ipv4/ip_forward")
		for _, d := range devices {
			keys = append(keys, "net/ipv4/conf/"+d+"/forwarding")
		}
	}
	if slices.ContainsFunc(lookups, ipv6) {
		keys = append(keys, "net/ipv6/conf/all/forwarding")
	}
	return keys
}

// readSysctl reads a parameter by its path below /proc/sys. In a name with slashes a device's name may have dots.
func readSysctl(proc fs.FS, key string) (string, error) {
	b, err := fs.ReadFile(proc, "sys/"+key)
	if err != nil {
		return "", fmt.Errorf("sysctl %s cannot be read: %w", key, err)
	}
	return strings.TrimSpace(string(b)), nil
}

// errNoCapabilities is a /proc/self/status without the line.
var errNoCapabilities = errors.New("/proc/self/status tells no capabilities")

// readCapabilities reads the effective capabilities of this process.
func readCapabilities(proc fs.FS) (uint64, error) {
	b, err := fs.ReadFile(proc, "self/status")
	if err != nil {
		return 0, fmt.Errorf("capabilities cannot be read: %w", err)
	}
	for line := range bytes.Lines(b) {
		if value, found := bytes.CutPrefix(line, []byte("CapEff:")); found {
			return strconv.ParseUint(string(bytes.TrimSpace(value)), 16, 64)
		}
	}
	return 0, errNoCapabilities
}
