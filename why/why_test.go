package why

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"routed/admin"
	"routed/config"
	"routed/doctor"
	"routed/kernel"
	"routed/peering"
	"routed/probe"
)

var (
	noon  = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	nodeA = peering.Peer{Addr: ip("9.111.255.77"), Role: peering.RoleRemote, Cluster: "cluster-2", Name: "gyliu-ubuntu-1"}
	nodeB = peering.Peer{Addr: ip("9.111.255.152"), Role: peering.RoleRemote, Cluster: "cluster-2"}
	bird  = peering.Peer{Addr: ip("9.111.255.21"), Role: peering.RoleBIRD, Cluster: "cluster-1", Name: "bird"}
)

func ip(s string) netip.Addr    { return netip.MustParseAddr(s) }
func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func ago(d time.Duration) time.Time { return noon.Add(-d) }

// toRemote is the seed's pod seen from gyliu-icp-1, with everything as it should be.
func toRemote() Facts {
	block, hop := pfx("20.1.47.128/26"), nodeA.Addr
	route := kernel.FIBRoute{Prefix: block, Gateway: hop, Device: 2, Protocol: 114, Type: 1}
	f := base("20.1.47.150")
	f.Mesh = peering.AddressStatus{
		Routes:    []peering.RouteStatus{{Prefix: block, Cluster: "cluster-2", NextHop: hop, Peer: hop, Since: ago(time.Hour)}},
		Announced: []peering.Announcer{{Peer: nodeA, NextHop: hop, Up: true, Since: ago(3 * time.Hour)}},
	}
	f.Kernel = kernel.PathSurvey{
		Wanted: kernel.RouteStatus{Route: kernel.Route{Prefix: block, NextHop: hop}, State: kernel.StateInstalled, Device: "eth0"},
		Holds:  []string{"20.1.47.128/26 via 9.111.255.77 dev eth0 proto 114"}, Leads: true,
		Decision: kernel.Decision{
			Answer: kernel.Answer{Route: kernel.FIBRoute{Gateway: hop, Device: 2, Type: 1}, Table: 1790}, Match: route, Ours: true,
			Rule: kernel.Rule{Priority: 1790, Table: 1790, To: pfx("20.1.0.0/16")}, Text: "20.1.47.128/26 via 9.111.255.77 dev eth0 proto 114",
		},
		Link: eth0(), Neighbor: kernel.Neighbor{Device: 2, Addr: hop, State: 2},
	}
	return f
}

// probed is what a probe of nodeA says.
func probed(s probe.State) *probe.TargetStatus {
	t := &probe.TargetStatus{
		Target: probe.Target{Addr: nodeA.Addr, Kind: probe.NextHop, Cluster: "cluster-2", NextHop: nodeA.Addr}, State: s, Since: ago(3 * time.Minute),
	}
	if s == probe.Failing {
		t.Reason = "no answer within 1s"
	} else {
		t.Success, t.RTT, t.MTU = true, 300*time.Microsecond, 1500
	}
	return t
}

func eth0() kernel.Link {
	return kernel.Link{Index: 2, Name: "eth0", Up: true, Running: true, MTU: 1500}
}

func base(address string) Facts {
	return Facts{
		At: noon, Address: ip(address),
		Config: &config.Config{
			Cluster: config.Cluster{
				Name: "cluster-1", PodCIDRs: []netip.Prefix{pfx("10.1.0.0/16")}, ServiceCIDRs: []netip.Prefix{pfx("10.0.0.0/24")},
			},
			Node: config.Node{Address: ip("9.111.255.21")},
			Remotes: []config.Remote{{
				Name: "cluster-2", PodCIDRs: []netip.Prefix{pfx("20.1.0.0/16")}, ServiceCIDRs: []netip.Prefix{pfx("20.0.0.0/24")},
			}},
			Kernel: config.Kernel{Table: 1790, RulePriority: 1790},
			Mesh:   config.Mesh{Retention: time.Hour},
		},
		Clusters: []peering.ClusterStatus{{
			Name: "cluster-2", Peers: []peering.PeerStatus{{Peer: nodeA, Up: true}, {Peer: nodeB, Up: true}},
		}},
		Own:  []peering.OwnBlock{{Prefix: pfx("10.1.198.128/26"), Source: peering.OwnFromBIRD}},
		BIRD: []peering.PeerStatus{{Peer: bird, Up: true}},
	}
}

// byDefault is the kernel without a route of the mesh.
func byDefault() kernel.PathSurvey {
	gateway := ip("9.111.255.1")
	return kernel.PathSurvey{
		Leads: true, Link: eth0(), Neighbor: kernel.Neighbor{Device: 2, Addr: gateway, State: 2},
		Decision: kernel.Decision{
			Answer: kernel.Answer{Route: kernel.FIBRoute{Gateway: gateway, Device: 2, Type: 1}, Table: 254},
			Match:  kernel.FIBRoute{Prefix: pfx("0.0.0.0/0"), Gateway: gateway, Device: 2, Protocol: 3, Type: 1},
			Rule:   kernel.Rule{Priority: 32766, Table: 254}, Text: "0.0.0.0/0 via 9.111.255.1 dev eth0 proto boot",
		},
	}
}

func unannounced() Facts {
	f := base("20.1.9.5")
	f.Kernel = byDefault()
	return f
}

// toOwn is a pod of this node.
func toOwn() Facts {
	f := base("10.1.198.140")
	f.Mesh.Own = []peering.OwnBlock{{Prefix: pfx("10.1.198.128/26"), Source: peering.OwnFromBIRD, Since: ago(time.Hour)}}
	f.Kernel = byDefault()
	d := &f.Kernel.Decision
	d.Answer.Route, d.Match = kernel.FIBRoute{Device: 7, Type: 1}, kernel.FIBRoute{Prefix: pfx("10.1.198.140/32"), Device: 7, Protocol: 3, Type: 1}
	d.Text = "10.1.198.140/32 dev cali1 proto boot"
	f.Kernel.Link, f.Kernel.Neighbor = kernel.Link{Index: 7, Name: "cali1", Up: true, Running: true, MTU: 1440}, kernel.Neighbor{Addr: f.Address, State: 2}
	return f
}

func refusal(by peering.Peer, prefix string, r peering.Reason, detail string) peering.Refusal {
	return peering.Refusal{Peer: by, Rejection: peering.Rejection{Prefix: pfx(prefix), NextHop: by.Addr, Reason: r, Detail: detail, At: ago(time.Minute)}}
}

func toOtherNode() Facts {
	f := toOwn()
	f.Address, f.Mesh.Own = ip("10.1.43.9"), nil
	d := &f.Kernel.Decision
	d.Match, d.Text = kernel.FIBRoute{Prefix: pfx("10.1.43.0/26"), Gateway: ip("9.111.255.29"), Device: 2, Protocol: 12, Type: 1},
		"10.1.43.0/26 via 9.111.255.29 dev eth0 proto bird"
	return f
}

// The steps of a way on which nothing is wrong.
const (
	remoteSteps = "cluster block policy freshness route table rule lookup neighbor device host return"
	ownSteps    = "cluster block lookup neighbor device"
)

func TestGoodWays(t *testing.T) {
	inMain, noPods, borrowed, answers, unknown := toRemote(), toRemote(), toOtherNode(), toRemote(), toRemote()
	noPods.Own = nil
	answers.Probe, answers.PodMTU = probed(probe.Answering), 1500
	unknown.Probe = &probe.TargetStatus{State: probe.Unprobed}
	inMain.Config.Kernel.Table = config.TableMain
	borrowed.Kernel.Decision.Match = kernel.FIBRoute{Prefix: pfx("10.1.43.9/32"), Device: 7, Protocol: 3, Type: 1}
	for name, c := range map[string]struct {
		facts Facts
		steps string
	}{
		"a remote pod":                       {toRemote(), remoteSteps},
		"a remote pod, kernel.table main":    {inMain, strings.Replace(remoteSteps, " rule", "", 1)},
		"a remote pod, its node probed":      {answers, strings.Replace(remoteSteps, " host", " probe host", 1)},
		"a remote pod, probed soon":          {unknown, remoteSteps},
		"a remote pod, no pods here":         {noPods, remoteSteps},
		"a pod of this node":                 {toOwn(), ownSteps},
		"a pod of another node":              {toOtherNode(), ownSteps},
		"a pod with an address that it lent": {borrowed, ownSteps},
	} {
		t.Run(name, func(t *testing.T) {
			got := Explain(c.facts)
			var steps []string
			for _, s := range got.Steps {
				steps = append(steps, s.Step)
				if s.State != admin.StepGood || s.Remedy != "" {
					t.Errorf("%+v", s)
				}
			}
			if strings.Join(steps, " ") != c.steps || got.Device == "" || got.Cluster == "" {
				t.Errorf("%v, %+v", steps, got)
			}
		})
	}
}

// TestTroubles breaks one thing at a time. The first of the wanted steps is the first that is not good, and broken unless
// said otherwise.
func TestTroubles(t *testing.T) {
	for _, c := range []struct {
		name   string
		facts  func() Facts
		change func(f *Facts)
		step   string
		state  admin.StepState
		why    string
		remedy string // a part of it
	}{
		{
			"of no cluster", unannounced, func(f *Facts) { f.Address = ip("30.1.2.3") }, "cluster", admin.StepBroken,
			"no cluster's pod range holds it: cluster-1 has 10.1.0.0/16; cluster-2 has 20.1.0.0/16", "add its range to podCIDRs",
		},
		{
			"a service here", unannounced, func(f *Facts) { f.Address = ip("10.0.0.7") }, "cluster", admin.StepBroken,
			"it is a service address of cluster-1 (10.0.0.0/24), which kube-proxy there makes into a pod's; routed routes pods only", "kubectl get endpoints",
		},
		{
			"a service there", unannounced, func(f *Facts) { f.Address = ip("20.0.0.7") }, "cluster", admin.StepBroken,
			"it is a service address of cluster-2 (20.0.0.0/24), which kube-proxy there makes into a pod's; routed routes pods only", "kubectl get endpoints",
		},
		{
			"this node", unannounced, func(f *Facts) { f.Address = ip("9.111.255.21") }, "cluster", admin.StepBroken,
			"it is the address of this node, and no pod's", "ask for the address of a pod",
		},
		{
			"a remote node", unannounced, func(f *Facts) { f.Address = nodeA.Addr }, "cluster", admin.StepBroken,
			"it is the address of node gyliu-ubuntu-1 9.111.255.77, and no pod's: nodes reach each other without routed", "ask for",
		},
		{
			"nobody announces it", unannounced, func(*Facts) {}, "block", admin.StepBroken,
			"none of the 2 nodes of cluster-2 announces a block that holds it, and every session is up", "calicoctl ipam show --ip=20.1.9.5",
		},
		{
			"a session is down", unannounced, func(f *Facts) { f.Clusters[0].Peers[0] = peering.PeerStatus{Peer: nodeA, Reason: "hold timer expired"} },
			"block", admin.StepBroken, "nobody announces a block that holds it; it may be of a node whose session is down: " +
				"gyliu-ubuntu-1 9.111.255.77 (hold timer expired)", "routed peers",
		},
		{
			"every session is down", unannounced, func(f *Facts) {
				f.Clusters[0].Peers = slices.Repeat([]peering.PeerStatus{{Peer: nodeB}}, 5)
			}, "block", admin.StepBroken, "nobody announces a block that holds it: no session with cluster-2 is up, " +
				"9.111.255.152, 9.111.255.152, 9.111.255.152, and 2 more", "routed peers",
		},
		{
			"no nodes", unannounced, func(f *Facts) { f.Clusters = nil }, "block", admin.StepBroken, "no node of cluster-2 is known", "add nodes",
		},
		{
			"refused", unannounced, func(f *Facts) {
				f.Mesh.Refused = []peering.Refusal{refusal(nodeA, "20.1.9.0/26", peering.ReasonOutsideRange, "outside cluster cluster-2's pod CIDRs [20.1.128.0/17]")}
			}, "policy", admin.StepBroken, "20.1.9.0/26 was announced by gyliu-ubuntu-1 9.111.255.77 1m ago and refused: " +
				"outside cluster cluster-2's pod CIDRs [20.1.128.0/17]", "podCIDRs of cluster-2 under remotes",
		},
		{
			"refused beside an accepted one", toRemote, func(f *Facts) {
				f.Mesh.Refused = []peering.Refusal{refusal(nodeB, "20.1.47.150/32", peering.ReasonLength, "cluster cluster-2 may announce lengths /20 to /31")}
				f.Mesh.Refused[0].At = time.Time{}
			}, "policy", admin.StepWarning, "20.1.47.150/32 was announced by 9.111.255.152 and refused: cluster cluster-2 may announce lengths /20 to /31",
			"blockLengths",
		},
		{
			"two nodes have it", toRemote, func(f *Facts) {
				f.Mesh.Routes[0].Rivals = []netip.Addr{nodeB.Addr}
				f.Mesh.Announced = append(f.Mesh.Announced, peering.Announcer{Peer: nodeB, NextHop: nodeB.Addr})
			}, "block", admin.StepWarning, "20.1.47.128/26, announced by gyliu-ubuntu-1 9.111.255.77; 9.111.255.152: " +
				"more than one node has it, the lowest address is used", "IPAM",
		},
		{
			"stale", toRemote, func(f *Facts) { f.Mesh.Routes[0].StaleSince = ago(12 * time.Minute) }, "freshness", admin.StepWarning,
			"stale: it was announced until 12m ago, when the session was lost; it is kept for 48m more", "session with gyliu-ubuntu-1",
		},
		{
			"held", toRemote, func(f *Facts) { f.Mesh.Routes[0].HeldSince = ago(10 * time.Second) }, "freshness", admin.StepWarning,
			"withdrawn 10s ago with most of its cluster; mesh.withdrawalBrake keeps it for a while", "no longer announces",
		},
		{
			"no way to the next hop", toRemote, func(f *Facts) {
				f.Kernel = byDefault()
				f.Kernel.Wanted = kernel.RouteStatus{Route: toRemote().Kernel.Wanted.Route, State: kernel.StateUnresolved, Err: "next hop 9.111.255.77 is on eth1, which is down"}
			}, "route", admin.StepBroken, "20.1.47.128/26 via 9.111.255.77 is wanted, and cannot be: next hop 9.111.255.77 is on eth1, which is down", "ip address",
		},
		{
			"the link to the next hop is down", toRemote, func(f *Facts) {
				f.Kernel, f.Kernel.Down = byDefault(), "eth1"
				f.Kernel.Wanted = kernel.RouteStatus{Route: toRemote().Kernel.Wanted.Route, State: kernel.StateUnresolved, Err: "next hop 9.111.255.77 is on eth1, which is down"}
			}, "route", admin.StepBroken, "20.1.47.128/26 via 9.111.255.77 is wanted, and cannot be: next hop 9.111.255.77 is on eth1, which is down",
			"ip link set eth1 up",
		},
		{
			"the kernel refused it", toRemote, func(f *Facts) {
				f.Kernel.Wanted.State, f.Kernel.Holds, f.Failure = kernel.StateMissing, nil, "the kernel refused it: operation not permitted"
			}, "table", admin.StepBroken, "table 1790 does not have it; it has nothing for the address (the kernel refused it: operation not permitted)", "routed status",
		},
		{
			"a foreign route in its place", toRemote, func(f *Facts) {
				f.Kernel.Wanted.State, f.Kernel.Wanted.Err = kernel.StateConflict, "held by a foreign route: 20.1.47.128/26 via 9.111.255.9 dev eth0 proto static"
			}, "table", admin.StepBroken, "the place in table 1790 is held by a foreign route: 20.1.47.128/26 via 9.111.255.9 dev eth0 proto static", "remove that route",
		},
		{
			"another next hop of ours", toRemote, func(f *Facts) {
				f.Kernel.Wanted.State, f.Kernel.Holds = kernel.StateMismatched, []string{"20.1.47.128/26 via 9.111.255.152 dev eth0 proto 114"}
			}, "table", admin.StepBroken, "table 1790 has another route of routed: 20.1.47.128/26 via 9.111.255.152 dev eth0 proto 114", "routed status",
		},
		{
			"no rule", toRemote, func(f *Facts) {
				want := f.Kernel.Wanted
				f.Kernel = byDefault()
				f.Kernel.Wanted, f.Kernel.Leads = want, false
			}, "rule", admin.StepBroken, "no rule leads lookups of the address to table 1790", "priority 1790",
		},
		{
			"a rule ahead", toRemote, func(f *Facts) {
				d := byDefault().Decision
				d.Rule = kernel.Rule{Priority: 100, Table: 254}
				d.Ahead = []kernel.Rule{d.Rule}
				f.Kernel.Decision = d
			}, "lookup", admin.StepBroken, "the kernel answers otherwise: 0.0.0.0/0 via 9.111.255.1 dev eth0 proto boot, of table main by rule 100: lookup main",
			"give it a priority above 1790",
		},
		{
			"a blackhole rule ahead", toRemote, func(f *Facts) {
				f.Kernel.Link, f.Kernel.Neighbor = kernel.Link{}, kernel.Neighbor{}
				f.Kernel.Decision = kernel.Decision{
					Answer: kernel.Answer{Err: errors.New("invalid argument")}, Text: "a blackhole drops it",
					Ahead: []kernel.Rule{{Priority: 100, To: pfx("20.1.0.0/16"), Other: true}},
				}
			}, "lookup", admin.StepBroken, "the kernel sends no packet there: a blackhole drops it; rules of others that come first: 100: to 20.1.0.0/16 (and more)",
			"ip rule",
		},
		{
			"a more specific route in our table", toRemote, func(f *Facts) {
				d := &f.Kernel.Decision
				d.Ours, d.Answer.Route.Gateway, d.Text = false, ip("9.111.255.9"), "20.1.47.150/32 via 9.111.255.9 dev eth0 proto static"
			}, "lookup", admin.StepBroken, "the kernel answers otherwise: 20.1.47.150/32 via 9.111.255.9 dev eth0 proto static, of table 1790 " +
				"by rule 1790: to 20.1.0.0/16 lookup 1790", "ip route show table 1790",
		},
		{
			"a hand-made route, the same way", toRemote, func(f *Facts) {
				d := &f.Kernel.Decision
				d.Ours, d.Answer.Table, d.Rule, d.Text = false, 254, kernel.Rule{}, "20.1.0.0/16 via 9.111.255.77 dev eth0 proto boot"
			}, "lookup", admin.StepWarning, "the kernel answers with the right way, but by a route that is not routed's: " +
				"20.1.0.0/16 via 9.111.255.77 dev eth0 proto boot, of table main", "mend",
		},
		{
			"another device", toRemote, func(f *Facts) { f.Kernel.Link.Name = "eth1" }, "lookup", admin.StepBroken,
			"the kernel answers otherwise: 20.1.47.128/26 via 9.111.255.77 dev eth0 proto 114, of table 1790 by rule 1790: to 20.1.0.0/16 lookup 1790", "mend",
		},
		{
			"the next hop does not answer", toRemote, func(f *Facts) { f.Kernel.Neighbor.State = kernel.NeighborFailed }, "neighbor", admin.StepBroken,
			"9.111.255.77 does not answer on eth0", "ip neigh show 9.111.255.77",
		},
		{
			"the next hop is being asked", toRemote, func(f *Facts) { f.Kernel.Neighbor.State = kernel.NeighborIncomplete }, "neighbor", admin.StepUnknown,
			"9.111.255.77 is being asked for on eth0 and has not answered yet", "ping 9.111.255.77",
		},
		{
			"the next hop was not asked", toRemote, func(f *Facts) { f.Kernel.Neighbor.State = kernel.NeighborNone }, "neighbor", admin.StepUnknown,
			"9.111.255.77 has not been asked for on eth0 yet", "ping 9.111.255.77",
		},
		{"the device is down", toRemote, func(f *Facts) { f.Kernel.Link.Up = false }, "device", admin.StepBroken, "eth0 is down", "ip link set eth0 up"},
		{"no carrier", toRemote, func(f *Facts) { f.Kernel.Link.Running = false }, "device", admin.StepBroken, "eth0 has no carrier", "cable"},
		{
			"probes are lost", toRemote, func(f *Facts) {
				f.Probe = probed(probe.Failing)
			}, "probe", admin.StepWarning, "9.111.255.77 has not answered ICMP echo for 3m: no answer within 1s", "ping 9.111.255.77",
		},
		{
			"the path is narrow", toRemote, func(f *Facts) {
				f.Probe, f.PodMTU = probed(probe.Answering), 1480
				f.Probe.MTU = 1400
			}, "probe", admin.StepWarning, "9.111.255.77 answers ICMP echo, but the path MTU is 1400, and this node's pods send up to 1480",
			"tracepath -n 9.111.255.77",
		},
		{
			"forwarding is off", toRemote, func(f *Facts) {
				f.Findings = []doctor.Check{{Name: "ip-forwarding", Result: doctor.Failed, Why: "it is off", Fix: "turn it on"}}
			}, "ip-forwarding", admin.StepBroken, "it is off", "turn it on",
		},
		{
			"a hand-made route in main", toRemote, func(f *Facts) {
				f.Findings = []doctor.Check{{Name: "hand-made-routes", Result: doctor.Warning, Why: "it rots", Fix: "remove it"}}
			}, "hand-made-routes", admin.StepWarning, "it rots", "remove it",
		},
		{
			"the doctor cannot tell", toRemote, func(f *Facts) {
				f.Findings = []doctor.Check{{Name: "rules", Result: doctor.Unknown, Why: "unreadable", Fix: "look"}}
			}, "rules", admin.StepUnknown, "unreadable", "look",
		},
		{
			"the kernel cannot be read", toRemote, func(f *Facts) { f.KernelErr = errors.New("no netlink") }, "route", admin.StepBroken,
			"the kernel could not be read: no netlink", "ip route get 20.1.47.150",
		},
		{
			"BIRD is away, seen from the way back", toRemote, func(f *Facts) {
				f.Own[0].Source, f.Own[0].Since = peering.OwnFromStale, ago(12*time.Minute)
				f.BIRD[0] = peering.PeerStatus{Peer: bird, Reason: "connection refused"}
			}, "return", admin.StepWarning, "answers to pods of 10.1.198.128/26 find back for 48m more: the session with this node's BIRD was lost " +
				"12m ago (connection refused), and then nobody is told of them any more", "calico-node",
		},
		{
			"BIRD has not spoken, seen from the way back", toRemote, func(f *Facts) {
				f.Own[0].Source, f.BIRD[0].Up = peering.OwnFromKernel, false
			}, "return", admin.StepWarning, "answers to pods of 10.1.198.128/26 find back as long as the kernel has 10.1.198.128/26: " +
				"BIRD does not speak of it", "calico-node",
		},
		{
			"BIRD is away and left nothing", toRemote, func(f *Facts) { f.Own, f.BIRD[0].Up = nil, false }, "return", admin.StepWarning,
			"remote clusters are told of no block of this node: there is no session with its BIRD; pods that it has get no answer", "calico-node",
		},
		{
			"BIRD is away", toOwn, func(f *Facts) { f.Mesh.Own[0].Source = peering.OwnFromStale }, "block", admin.StepWarning,
			"10.1.198.128/26 is a block of this node, as its BIRD said until 1h ago, when the session was lost", "calico-node",
		},
		{
			"BIRD has not spoken", toOwn, func(f *Facts) { f.Mesh.Own[0].Source = peering.OwnFromKernel }, "block", admin.StepWarning,
			"10.1.198.128/26 is a block of this node, as only its kernel says: BIRD has not spoken", "calico-node",
		},
		{
			"no such pod here", toOwn, func(f *Facts) {
				f.Kernel = kernel.PathSurvey{Decision: kernel.Decision{Answer: kernel.Answer{Err: errors.New("x")}, Text: "a blackhole drops it"}}
			}, "lookup", admin.StepBroken, "no pod of this node has the address: a blackhole drops it", "kubectl get pods",
		},
		{
			"an own address by the default route", toOwn, func(f *Facts) { f.Kernel = byDefault() }, "lookup", admin.StepBroken,
			"the kernel has no route into 10.1.0.0/16 for it and answers 0.0.0.0/0 via 9.111.255.1 dev eth0 proto boot, of table main by rule 32766: lookup main",
			"ip route get 10.1.198.140",
		},
		{
			"an own address by a route of ours", toOwn, func(f *Facts) { f.Kernel.Decision.Ours = true }, "lookup", admin.StepBroken,
			"the kernel answers with a route of routed: 10.1.198.140/32 dev cali1 proto boot, of table main by rule 32766: lookup main", "restart routed",
		},
		{
			"a block of no node here", toOtherNode, func(f *Facts) { f.Kernel = byDefault() }, "block", admin.StepBroken,
			"this node has no block that holds it, nor a route to one of another node", "calicoctl ipam show --ip=10.1.43.9",
		},
		{
			"no route to a node here", toOtherNode, func(f *Facts) {
				f.Kernel = kernel.PathSurvey{Decision: kernel.Decision{Answer: kernel.Answer{Err: errors.New("x")}, Text: "there is no route"}}
			}, "block", admin.StepBroken, "this node has no block that holds it, nor a route to one of another node", "calicoctl node status",
		},
		{
			"refused of BIRD", toOtherNode, func(f *Facts) {
				f.Mesh.Refused = []peering.Refusal{
					refusal(bird, "10.1.43.0/26", peering.ReasonNextHop, "of another node: nothing to say"),
					refusal(bird, "10.1.43.0/24", peering.ReasonOutsideRange, "outside"),
				}
			}, "policy", admin.StepWarning, "10.1.43.0/24 was announced by this node's BIRD 1m ago and refused: outside", "cluster.podCIDRs",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := c.facts()
			c.change(&f)
			got := Explain(f)
			i := slices.IndexFunc(got.Steps, func(s admin.Step) bool { return s.State != admin.StepGood })
			if i < 0 {
				t.Fatalf("nothing is wrong: %+v", got)
			}
			if s := got.Steps[i]; s.Step != c.step || s.State != c.state || s.Why != c.why || !strings.Contains(s.Remedy, c.remedy) {
				t.Errorf("\n got %+v\nwant {%s %s %s … %s …}", s, c.step, c.state, c.why, c.remedy)
			}
			for _, s := range got.Steps {
				if (s.Remedy == "") != (s.State == admin.StepGood) || s.Why == "" || strings.Contains(s.Why+s.Remedy, "\n") {
					t.Errorf("not one line why and, where there is something to do, one line how: %+v", s)
				}
			}
		})
	}
}

// What follows from a broken step is told after it.
func TestAfterTheBrokenStep(t *testing.T) {
	f := unannounced()
	noRoute := unannounced()
	noRoute.Kernel = kernel.PathSurvey{Decision: kernel.Decision{Answer: kernel.Answer{Err: errors.New("x")}, Text: "there is no route"}}
	nobody := unannounced()
	nobody.Address = ip("30.1.2.3")
	nobody.Mesh.Refused = []peering.Refusal{refusal(nodeA, "30.1.0.0/16", peering.ReasonLimitNode, "too many")}
	twice := toRemote()
	twice.Kernel.Leads, twice.Findings = false, []doctor.Check{{Name: "rules", Result: doctor.Failed, Why: "no rule", Fix: "add it"}}
	silent := toRemote()
	silent.Mesh.Routes[0].StaleSince, silent.Kernel.Neighbor.State = ago(9*time.Second), kernel.NeighborIncomplete
	ahead, own := toRemote(), toOwn()
	ahead.Kernel.Decision, own.Kernel = byDefault().Decision, byDefault()
	for name, c := range map[string]struct {
		facts Facts
		want  string
	}{
		"a next hop that fell silent": {
			silent, "cluster good, block good, policy good, freshness warning, route good, table good, rule good, lookup good, neighbor broken, device good, " +
				"host good, return good",
		},
		"a lookup that goes elsewhere": {ahead, "cluster good, block good, policy good, freshness good, route good, table good, rule good, lookup broken, host good, return good"},
		"an own pod, by default":       {own, "cluster good, block good, lookup broken"},
		"by the default route":         {f, "cluster good, block broken, lookup warning"},
		"no route at all":              {noRoute, "cluster good, block broken, lookup broken"},
		"of nobody, and announced":     {nobody, "cluster broken, policy broken, lookup good"},
		"the doctor on what is told":   {twice, "cluster good, block good, policy good, freshness good, route good, table good, rule broken, lookup good, neighbor good, device good, host good, return good"},
	} {
		t.Run(name, func(t *testing.T) {
			var steps []string
			for _, s := range Explain(c.facts).Steps {
				steps = append(steps, s.Step+" "+string(s.State))
			}
			if got := strings.Join(steps, ", "); got != c.want {
				t.Errorf("\n got %s\nwant %s", got, c.want)
			}
		})
	}
}

// The way begins at the node's address of that family, or else at the one it has.
func TestNodeOfEitherFamily(t *testing.T) {
	v4, v6 := ip("9.111.255.21"), ip("fd00:9::21")
	for _, tc := range []struct {
		node config.Node
		to   string
		want netip.Addr
	}{
		{config.Node{Address: v4, Address6: v6}, "20.1.9.5", v4},
		{config.Node{Address: v4, Address6: v6}, "fd00:20::5", v6},
		{config.Node{Address6: v6}, "20.1.9.5", v6},
		{config.Node{Address: v4}, "fd00:20::5", v4},
	} {
		f := base(tc.to)
		f.Config.Node = tc.node
		if got := Explain(f).Node.Address; got != tc.want {
			t.Errorf("to %s from %v, want %v", tc.to, got, tc.want)
		}
	}
}

func TestRefusalsHaveRemedies(t *testing.T) {
	reflector := nodeA
	reflector.Role = peering.RoleReflector
	for _, reason := range peering.Reasons() {
		for _, by := range []peering.Peer{nodeA, reflector, bird} {
			if got := refusalRemedy(refusal(by, "20.1.9.0/26", reason, "x")); got == "" || strings.HasSuffix(got, " ") {
				t.Errorf("%s: %q", reason, got)
			}
		}
	}
}

func TestReflected(t *testing.T) {
	f := toRemote()
	f.Mesh.Announced[0].Peer = peering.Peer{Addr: ip("9.111.255.5"), Role: peering.RoleReflector, Cluster: "cluster-2"}
	if got := Explain(f).Steps[1].Why; got != "20.1.47.128/26, announced by 9.111.255.77, by reflector 9.111.255.5" {
		t.Errorf("%q", got)
	}
}
