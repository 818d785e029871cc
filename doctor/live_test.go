package doctor

import (
	"fmt"
	"io/fs"
	"net/netip"
	"strconv"
	"testing"

	"routed/config"
	"routed/kernel"
)

func TestOwnBlocks(t *testing.T) {
	runChecks(t, "own-blocks", checkBlocks, []checkCase{
		{"none", func(h *Host) { h.Blocks.Value = nil }, []Check{{
			Result: Warning,
			Why: "the kernel has no block of this node inside 10.1.0.0/16 (a blackhole route of BIRD or Felix): without a session with BIRD " +
				"there is nothing to announce",
			Fix: "see that calico-node runs here and a pod does, and that cluster.podCIDRs is Calico's pool (`calicoctl ipam show --show-blocks`); " +
				"blocks of /32 leave no trace",
		}}},
		{"unreadable", func(h *Host) { h.Blocks.Err = errUnreadable }, []Check{{
			Result: Unknown, Why: "it cannot be read", Fix: "look at them with `ip route show type blackhole`",
		}}},
	})
}

func TestBIRD(t *testing.T) {
	accept := func(h *Host, sockets ...Socket) {
		h.BIRD = BIRD{Accept: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1790")}}
		h.Sockets.Value = sockets
	}
	listening := Socket{Local: netip.MustParseAddrPort("127.0.0.1:1790"), Listens: true}
	from := func(a string) Socket {
		return Socket{Local: listening.Local, Remote: netip.MustParseAddrPort(a)}
	}
	waiting := []Check{{
		Result: Warning, Why: "BIRD is not connected to 127.0.0.1:1790 (bird.accept)",
		Fix: "see that calico-node runs on this node, and that its BGPPeer for routed has that address and port",
	}}
	connection := func(local, remote string) Socket {
		return Socket{Local: netip.MustParseAddrPort(local), Remote: netip.MustParseAddrPort(remote)}
	}
	stands := []Check{{Result: Good, Why: "a connection with BIRD at 127.0.0.1:179 stands"}}
	alone := []Check{{Result: Good, Why: "BIRD listens at 127.0.0.1:179, and nobody is connected"}}
	runChecks(t, "bird", checkBIRD, []checkCase{
		{"connected by the node's address", func(h *Host) { h.Sockets.Value[1] = connection("127.0.0.1:45678", "9.111.255.21:179") }, stands},
		{"another's connection", func(h *Host) { h.Sockets.Value[1] = connection("9.111.255.21:45678", "9.111.255.77:179") }, alone},
		{"that of BIRD with another", func(h *Host) { h.Sockets.Value[1] = connection("9.111.255.21:179", "9.111.255.77:45678") }, alone},
		{"we have connected", func(h *Host) { accept(h, listening, connection("127.0.0.1:45678", "9.111.255.21:179")) }, []Check{{
			Result: Good, Why: "BIRD is connected with 127.0.0.1:1790",
		}}},
		{"not connected", func(h *Host) { h.Sockets.Value = h.Sockets.Value[:1] }, []Check{{
			Result: Good, Why: "BIRD listens at 127.0.0.1:179, and nobody is connected",
		}}},
		{"not there", func(h *Host) {
			h.Sockets.Value = []Socket{{Local: netip.MustParseAddrPort("9.111.255.21:179"), Listens: true}}
		}, []Check{{
			Result: Failed, Why: "nothing listens at 127.0.0.1:179 (bird.dial): the daemon cannot learn this node's blocks",
			Fix: "see that calico-node runs on this node, and where its BIRD listens (`ss -ltnp`)",
		}}},
		{"it has connected", func(h *Host) { accept(h, listening, from("9.111.255.21:3333")) }, []Check{{
			Result: Good, Why: "BIRD is connected with 127.0.0.1:1790",
		}}},
		{"it has not", func(h *Host) { accept(h, listening) }, waiting},
		{"another has", func(h *Host) { accept(h, listening, from("9.111.255.77:3333")) }, waiting},
		{"we do not listen", func(h *Host) { accept(h) }, []Check{{
			Result: Warning, Why: "nothing listens at 127.0.0.1:1790 (bird.accept), so that BIRD cannot connect", Fix: "start routed: systemctl start routed",
		}}},
		{"unreadable", func(h *Host) { h.Sockets.Err = errUnreadable }, []Check{{
			Result: Unknown, Why: "it cannot be read", Fix: "look at them with `ss -tnap`",
		}}},
	})
}

func TestReannounced(t *testing.T) {
	const pool = "give the remote range an IPPool with disableBGPExport: true, which `routed calico` prints"
	runChecks(t, "bird-announces", checkReannounced, []checkCase{
		{"from another node", func(h *Host) {
			h.Strays.Value = []kernel.Stray{{Protocol: 12, Text: "20.1.47.128/26 via 9.111.255.29 dev eth0 proto bird"}}
		}, []Check{{
			Result: Warning,
			Why:    "BIRD has 20.1.47.128/26 via 9.111.255.29 dev eth0 proto bird: another node of this cluster announces pods of a remote one",
			Fix:    "see on that node what is in main (`routed doctor`), and " + pool,
		}}},
		{"from here", func(h *Host) {
			h.Strays.Value = []kernel.Stray{{Protocol: 3, Text: "20.1.47.128/26 via 9.111.255.77 dev eth0 proto boot"}}
		}, []Check{{
			Result: Warning,
			Why: "BIRD learns what others put into main, and may tell this cluster's nodes of 1 routes to remote pods, such as " +
				"20.1.47.128/26 via 9.111.255.77 dev eth0 proto boot",
			Fix: "remove them as hand-made-routes says; until then " + pool,
		}}},
		{"our table is main", func(h *Host) { h.Owned.Table = config.TableMain }, []Check{{
			Result: Warning, Why: "kernel.table is main, from which BIRD learns: it may tell this cluster's nodes of remote pods",
			Fix: "use a table of routed's own (kernel.table), or give each remote range an IPPool with disableBGPExport: true, which `routed calico` prints",
		}}},
		{"unreadable", func(h *Host) { h.Strays.Err = errUnreadable }, []Check{{
			Result: Unknown, Why: "it cannot be read", Fix: "look at main with `ip route` and `ip -6 route`",
		}}},
	})
	h := goodHost()
	h.Strays.Value = []kernel.Stray{{Protocol: 12}}
	if got := checkHandMade(h); got[0].Result != Good {
		t.Errorf("nobody made the routes of BIRD by hand: %+v", got)
	}
}

func TestPorts(t *testing.T) {
	runChecks(t, "ports", checkPorts, []checkCase{
		{"free", func(h *Host) { h.Sockets.Value = nil }, []Check{{Result: Good, Why: "the ports of routed are its own, or free"}}},
		{"another's", func(h *Host) {
			h.Sockets.Value = []Socket{{Local: netip.MustParseAddrPort("[::]:1790"), Listens: true, Owner: "gobgpd"}}
		}, []Check{{
			Result: Failed, Why: "9.111.255.21:1790 (listen.port) is taken by gobgpd",
			Fix: "stop it, or choose another port (listen.port; the nodes of the other clusters must know)",
		}}},
		{"whose cannot be seen", func(h *Host) { h.Sockets.Value[2].Owner = "" }, []Check{{
			Result: Unknown, Why: "9.111.255.21:1790 (listen.port) is taken, and by whom cannot be seen from here",
			Fix: "see as root, on the host: ss -ltnp 'sport = :1790'",
		}}},
		{"unreadable", func(h *Host) { h.Sockets.Err = errUnreadable }, []Check{{
			Result: Unknown, Why: "it cannot be read", Fix: "look at them with `ss -ltnp`",
		}}},
	})
}

func TestMTU(t *testing.T) {
	link := func(h *Host, index int32, change func(l *kernel.Link)) {
		l := h.Topology.Value.Links[index]
		change(&l)
		h.Topology.Value.Links[index] = l
	}
	runChecks(t, "mtu", checkMTU, []checkCase{
		{"no pod", func(h *Host) { delete(h.Topology.Value.Links, 7) }, []Check{{Result: Good, Why: "no pod of Calico is on this node yet"}}},
		{"too small", func(h *Host) { link(h, 2, func(l *kernel.Link) { l.MTU = 1400 }) }, []Check{{
			Result: Warning, Why: "pods may send 1440 bytes at once (cali1), and eth0, by which they leave to remote pods, takes 1400",
			Fix: "give pods an MTU of at most 1400 (mtu in FelixConfiguration and the CNI configuration), or raise that of eth0",
		}}},
		{"another device is small", func(h *Host) {
			link(h, 2, func(l *kernel.Link) { l.MTU, l.Name = 1400, "eth9" })
		}, []Check{{Result: Good, Why: "what pods may send, 1440 bytes (cali1), fits the devices to remote pods"}}},
		{"unreadable", func(h *Host) { h.Topology.Err = errUnreadable }, []Check{{
			Result: Unknown, Why: "it cannot be read", Fix: "look at them with `ip link`",
		}}},
	})
}

func TestTunnels(t *testing.T) {
	runChecks(t, "ipip-sources", checkTunnels, []checkCase{
		{"IPIP", func(h *Host) { h.Hops.Value[0].Device = "tunl0" }, []Check{{
			Result: Unknown, Why: "routes to remote pods leave by tunl0, and Felix drops tunnelled packets from nodes that it does not know",
			Fix: "see that the remote nodes are in its set (`ipset list cali40all-hosts-net`): externalNodesList in FelixConfiguration",
		}}},
		{"unreadable", func(h *Host) { h.Hops.Err = errUnreadable }, []Check{{
			Result: Unknown, Why: "it cannot be read", Fix: "look at them with `ip route show table 1790`",
		}}},
	})
}

func TestOverlaps(t *testing.T) {
	address := func(local, subnet string) func(h *Host) {
		return func(h *Host) {
			h.Topology.Value.Links[3] = kernel.Link{Index: 3, Name: "docker0"}
			h.Topology.Value.Addresses = append(h.Topology.Value.Addresses,
				kernel.Address{Device: 3, Local: netip.MustParseAddr(local), Subnet: prefixes(subnet)[0]})
		}
	}
	const fix = "give docker0 another subnet, or the remote cluster another pod range"
	runChecks(t, "overlaps", checkOverlaps, []checkCase{
		{"an address", address("20.1.0.1", "20.1.0.0/24"), []Check{{
			Result: Failed, Fix: fix,
			Why: "docker0 has the address 20.1.0.1, in the pod range 20.1.0.0/16 of a remote cluster: a pod with it is not reached",
		}}},
		{"a subnet", address("20.7.0.1", "20.0.0.0/8"), []Check{{
			Result: Warning, Fix: fix,
			Why: "the subnet 20.0.0.0/8 of docker0 overlaps the pod range 20.1.0.0/16 of a remote cluster: where both have an address, packets go to the pod",
		}}},
		{"unreadable", func(h *Host) { h.Topology.Err = errUnreadable }, []Check{{
			Result: Unknown, Why: "it cannot be read", Fix: "look at them with `ip address`",
		}}},
	})
}

func TestNextHops(t *testing.T) {
	state := func(n int, s kernel.NeighborState) func(h *Host) {
		return func(h *Host) {
			h.Hops.Value = nil
			for i := range n {
				a := netip.AddrFrom4([4]byte{9, 111, 255, byte(70 + i)})
				h.Hops.Value = append(h.Hops.Value, kernel.Hop{Addr: a, Device: "eth0"})
				h.Neighbors.Value = append(h.Neighbors.Value, kernel.Neighbor{Device: 2, Addr: a, State: s})
			}
		}
	}
	link := func(up bool) func(h *Host) {
		return func(h *Host) {
			h.Topology.Value.Links[2] = kernel.Link{Index: 2, Name: "eth0", Up: up}
			h.Hops.Value = append(h.Hops.Value, h.Hops.Value[0])
		}
	}
	room := func(n int) func(h *Host) {
		return func(h *Host) { h.NeighborRoom[0].Value.Value = strconv.Itoa(n) }
	}
	good := func(n int) []Check {
		return []Check{{Result: Good, Why: fmt.Sprintf("none of the %d next hops is known not to answer", n)}}
	}
	runChecks(t, "next-hops", checkNextHops, []checkCase{
		{"all answer", state(4, 2), good(4)},
		{"one is silent", state(1, kernel.NeighborFailed), []Check{{
			Result: Failed, Why: "next hops do not answer: 9.111.255.70 on eth0",
			Fix: "see that those nodes are up and on the link (`ip neigh`, `ping`)",
		}}},
		{"many are asked", state(5, kernel.NeighborIncomplete), []Check{{
			Result: Warning,
			Why: "next hops are being asked for and have not answered yet: 9.111.255.70 on eth0, 9.111.255.71 on eth0, 9.111.255.72 on eth0 " +
				"and 2 more",
			Fix: "look again in a few seconds; then see that those nodes are up and on the link (`ip neigh`, `ping`)",
		}}},
		{"down", link(false), []Check{{
			Result: Failed, Why: "eth0, by which 9.111.255.77 is reached, is down", Fix: "ip link set eth0 up",
		}}},
		{"no carrier", link(true), []Check{{
			Result: Failed, Why: "eth0, by which 9.111.255.77 is reached, has no carrier",
			Fix: "see its cable, or its other end (`ip link show eth0`)",
		}}},
		{"room for one", room(2), good(1)},
		{"no room", room(1), []Check{{
			Result: Warning,
			Why: "net/ipv4/neigh/default/gc_thresh3 is 1, and there are 1 neighbours with the next hops: the kernel has no place for more, " +
				"and drops packets",
			Fix: "sysctl -w net/ipv4/neigh/default/gc_thresh3=2, and the same in a file in /etc/sysctl.d",
		}}},
		{"room of the host", func(h *Host) { h.NeighborRoom[0].Value.Err = fs.ErrNotExist }, good(1)},
		{"room unreadable", func(h *Host) { h.NeighborRoom[0].Value.Err = errUnreadable }, []Check{{
			Result: Unknown, Why: "it cannot be read", Fix: "look at it with `sysctl net/ipv4/neigh/default/gc_thresh3`",
		}}},
		{"unreadable", func(h *Host) { h.Neighbors.Err = errUnreadable }, []Check{{
			Result: Unknown, Why: "it cannot be read", Fix: "look at them with `ip neigh` and `ip link`",
		}}},
	})
}
