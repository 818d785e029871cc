package admin

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestHealthyHasNoProblems(t *testing.T) {
	s := healthyStatus()
	s.Clusters[0].Roster = &Roster{Server: "https://api", Addresses: 3, LastSuccess: noon(), Failures: 1}
	if p := Problems(s); len(p) != 0 {
		t.Errorf("a healthy node has problems: %+v", p)
	}
}

// Each case breaks one thing of a healthy node and expects one problem.
func TestProblems(t *testing.T) {
	for _, tc := range []struct {
		name     string
		spoil    func(*Status)
		severity Severity
		code     Code
		says     []string
	}{
		{"BIRD lost", func(s *Status) {
			*s = degradedStatus()
			s.Probe = nil
			s.Clusters, s.Kernel, s.Guard, s.Config = nil, healthyStatus().Kernel, healthyStatus().Guard, healthyStatus().Config
		}, Critical, CodeBIRDDown, []string{"127.0.0.1", "3m12s", "hold timer expired", "2 blocks", "2026-03-14T12:56:48Z"}},
		{"BIRD never seen", func(s *Status) {
			s.BIRD[0].Up, s.BIRD[0].Since, s.Node.Started = false, time.Time{}, ago(12*time.Second)
		}, Critical, CodeBIRDDown, []string{"since the daemon started 12s ago"}},
		{"cluster out of reach", func(s *Status) {
			s.Clusters[0].NodesUp = 0
			s.Clusters[0].NodesDown = []NodeDown{{Address: addr("9.111.255.152"), Name: "master-1"}}
		}, Critical, CodeClusterUnreachable, []string{"no node of cluster cluster-2", "master-1 9.111.255.152 never up", "and 2 more"}},
		{"cluster without nodes", func(s *Status) {
			s.Clusters[0].NodesUp, s.Clusters[0].NodesKnown = 0, 0
		}, Critical, CodeClusterUnreachable, []string{"no node of cluster cluster-2 is known"}},
		{"one node down", func(s *Status) {
			s.Clusters[0].NodesUp = 2
			s.Clusters[0].NodesDown = degradedStatus().Clusters[0].NodesDown
		}, Warning, CodeNodesDown, []string{"1 of the 3 nodes", "worker-2 9.111.255.77 for 1m5s (connection refused)"}},
		{"API away", func(s *Status) {
			s.Clusters[0].Roster = degradedStatus().Clusters[0].Roster
		}, Warning, CodeRosterOutdated, []string{"cluster-2", "for 10m", "Unauthorized", "3 addresses, stays in force"}},
		{"API never there", func(s *Status) {
			s.Clusters[0].Roster = &Roster{Server: "https://api", Since: ago(time.Minute), Error: "no answer within 30s"}
		}, Warning, CodeRosterOutdated, []string{"for 1m: no answer within 30s"}},
		{"masqueraded", func(s *Status) {
			s.HostChecks = append(s.HostChecks,
				HostCheck{Name: "masquerade", Result: CheckFailed, Why: "packets of pods lose their source address", Fix: "make a pool"},
				HostCheck{Name: "rp-filter", Result: CheckUnknown, Why: "it cannot be read", Fix: "look"})
		}, Critical, CodeHostCheck, []string{"masquerade: packets of pods lose their source address"}},
		{"rule gone", func(s *Status) {
			s.Kernel.RulesPresent = 0
		}, Critical, CodeRulesMissing, []string{"1 of the 1 rule", "table 1790"}},
		{"routes shadowed", func(s *Status) {
			s.Clusters[0].Routes[0].Shadowed = 1
		}, Critical, CodeRoutesShadowed, []string{"1 route to cluster cluster-2 is shadowed"}},
		{"routes in conflict", func(s *Status) {
			s.Clusters[0].Routes[0].Conflict = 2
		}, Critical, CodeRoutesConflict, []string{"2 routes to cluster cluster-2 are kept out"}},
		{"routes unresolved, both families", func(s *Status) {
			s.Clusters[0].Routes = []RouteCount{{Family: "ipv4", Unresolved: 2}, {Family: "ipv6", Unresolved: 3}}
		}, Critical, CodeRoutesUnresolved, []string{"5 routes"}},
		{"a reflector down", func(s *Status) {
			c := &s.Clusters[0]
			c.Reflected, c.NodesKnown, c.NodesUp = true, 2, 1
			c.NodesDown = []NodeDown{{Address: addr("9.111.255.252"), Since: ago(time.Minute), Reason: "hold timer expired"}}
		}, Warning, CodeNodesDown, []string{"1 of the 2 reflectors", "9.111.255.252"}},
		{"both reflectors down", func(s *Status) {
			c := &s.Clusters[0]
			c.Reflected, c.NodesKnown, c.NodesUp = true, 2, 0
		}, Critical, CodeClusterUnreachable, []string{"no reflector of cluster cluster-2"}},
		{"a cluster that withdraws everything", func(s *Status) {
			c := &s.Clusters[0]
			c.Blocks, c.Held, c.HeldUntil = []BlockCount{{Family: "ipv4", Fresh: 1, Held: 6}}, 6, noon().Add(20*time.Second)
		}, Critical, CodeWithdrawalsHeld, []string{"withdrew 6 of its 7 blocks", "20s more"}},
		{"routes mismatched", func(s *Status) {
			s.Clusters[0].Routes[0].Mismatched = 1
		}, Critical, CodeRoutesMismatched, []string{"another next hop or device"}},
		{"routes missing", func(s *Status) {
			s.Clusters[0].Routes[0].Missing = 4
		}, Critical, CodeRoutesMissing, []string{"4 routes"}},
		{"kernel not read", func(s *Status) {
			s.Kernel.Adopted, s.Kernel.LastError = false, "dump table 1790: operation not permitted"
		}, Warning, CodeNotAdopted, []string{"not been read", "operation not permitted"}},
		{"every own block refused", func(s *Status) {
			s.BIRD[0].Prefixes = []PrefixCount{{Family: "ipv4", Received: 2, Rejected: 2}}
			s.BIRD[0].LastRejected = []Rejection{{Prefix: prefix("192.168.0.0/26"), Detail: "outside"}}
		}, Warning, CodeOwnBlocksRefused, []string{"2 prefixes", "192.168.0.0/26 (outside)"}},
		{"guard demanded, but this host cannot", func(s *Status) {
			s.Guard = Guard{Mode: "nftables", State: GuardUnavailable, Reason: "no nf_tables", Since: ago(time.Minute)}
		}, Warning, CodeGuardDown, []string{"does not guard the BGP port", "for 1m", "no nf_tables"}},
		{"guard kept out", func(s *Status) {
			s.Guard = Guard{Mode: "auto", State: GuardFailing, Reason: "made by somebody else", Since: ago(time.Minute)}
		}, Warning, CodeGuardDown, []string{"made by somebody else"}},
		{"guard cannot be removed", func(s *Status) {
			s.Guard = Guard{Mode: "none", State: GuardFailing, Reason: "busy", Since: ago(time.Minute)}
		}, Warning, CodeGuardDown, []string{"cannot be removed", "busy"}},
		{"a key refused", func(s *Status) {
			s.KeysRefused, s.KeyRefusal = 3, "cannot allocate memory; net.core.optmem_max is 20480"
		}, Critical, CodeKeysRefused, []string{"3 peers are held closed", "net.core.optmem_max is 20480"}},
		{"a next hop that does not answer", func(s *Status) {
			s.Probe = sampleProbe()
			s.Probe.Targets[0].Narrow = 0
		}, Warning, CodeProbesFailing, []string{"1 of the 3 next hops of cluster cluster-2 that are probed does not", "9.111.255.77 for 1m5s (no answer within 1s)"}},
		{"addresses that do not answer", func(s *Status) {
			s.Probe = &Probe{Targets: []ProbeCount{{Cluster: "cluster-2", Kind: "address", Answering: 7, Failing: 6, Silent: 3}}}
			for range 6 {
				s.Probe.Failing = append(s.Probe.Failing, ProbeTarget{
					Cluster: "cluster-2", Kind: "address", Address: addr("20.1.47.128"), NextHop: addr("9.111.255.77"), Since: ago(time.Minute),
				})
			}
		}, Warning, CodeProbesFailing, []string{"6 of the 13 addresses", "do not answer", "20.1.47.128 via 9.111.255.77 for 1m", "and 2 more"}},
		{"a way too narrow for pods", func(s *Status) {
			s.Probe = sampleProbe()
			s.Probe.Targets[0].Failing = 0
		}, Warning, CodePathMTUSmall, []string{"up to 1480 bytes", "1 next hop of cluster cluster-2 takes less: 9.111.255.155 1400"}},
		{"probes without a socket", func(s *Status) {
			s.Probe = &Probe{Error: "an ICMP socket needs the capability CAP_NET_RAW"}
		}, Warning, CodeProbesImpossible, []string{"not possible: an ICMP socket needs the capability CAP_NET_RAW"}},
		{"reload refused", func(s *Status) {
			s.Config = degradedStatus().Config
		}, Warning, CodeReloadFailed, []string{"/etc/routed/routed.yaml", "30m ago", "is no prefix; the configuration from before"}},
		{"two nodes announce a block", func(s *Status) {
			s.Clusters[0].Conflicts = 1
		}, Warning, CodeBlockConflict, []string{"1 block of cluster cluster-2 is"}},
		{"announcements refused", func(s *Status) {
			s.Clusters[0].RejectedNow, s.Clusters[0].LastRejected = 3, degradedStatus().Clusters[0].LastRejected
		}, Warning, CodeRejections, []string{"3 prefixes", "10.0.0.0/8", "7s ago"}},
		{"stale", func(s *Status) {
			s.Clusters[0].Blocks = []BlockCount{{Family: "ipv4", Stale: 1}, {Family: "ipv6", Stale: 1}}
		}, Warning, CodeRoutesStale, []string{"2 routes", "at most 1h"}},
		{"resync late", func(s *Status) {
			s.Kernel.LastResync, s.Kernel.LastError = ago(181*time.Second), "dump: interrupted\nmore"
		}, Warning, CodeResyncOverdue, []string{"3m1s", "every 1m: dump: interrupted"}},
		{"never resynced", func(s *Status) {
			s.Kernel.LastResync = time.Time{}
		}, Warning, CodeResyncOverdue, []string{"for 5d"}},
		{"not converged", func(s *Status) {
			s.Mesh.Converged, s.Node.Started, s.Mesh.ConvergeBefore = false, ago(8*time.Second), ago(-52*time.Second)
		}, Warning, CodeNotConverged, []string{"8s after the start", "no route is deleted"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := healthyStatus()
			tc.spoil(&s)
			got := Problems(s)
			if len(got) != 1 || got[0].Severity != tc.severity || got[0].Code != tc.code {
				t.Fatalf("got %+v, want one %s %s", got, tc.severity, tc.code)
			}
			if got[0].Remedy == "" {
				t.Error("no remedy")
			}
			for _, want := range tc.says {
				if !strings.Contains(got[0].Text, want) {
					t.Errorf("%q does not say %q", got[0].Text, want)
				}
			}
		})
	}
}

// What is normal must not turn the exit status of `routed status` to 1.
func TestNoProblem(t *testing.T) {
	for name, change := range map[string]func(*Status){
		"BIRD passes on the blocks of other nodes too": func(s *Status) {
			s.BIRD[0].Prefixes = []PrefixCount{{Family: "ipv4", Received: 9, Accepted: 2, Rejected: 7}}
		},
		"refused once, no longer announced": func(s *Status) {
			s.Clusters[0].RejectedTotal, s.Clusters[0].LastRejected = 12, degradedStatus().Clusters[0].LastRejected
		},
		"flaps and repairs of the past": func(s *Status) {
			s.BIRD[0].Flaps, s.Kernel.Overruns = 4, 2
		},
		"an error that has been mended": func(s *Status) {
			s.Kernel.LastError, s.Kernel.LastErrorAt = "add route: busy", ago(time.Hour)
		},
		"a resync that is a little late": func(s *Status) { s.Kernel.LastResync = ago(3 * time.Minute) },
		"no resync wanted":               func(s *Status) { s.Kernel.ResyncSeconds, s.Kernel.LastResync = 0, time.Time{} },
		"a host that cannot have a guard, where none is demanded": func(s *Status) {
			s.Guard = Guard{Mode: "auto", State: GuardUnavailable, Reason: "no nf_tables", Since: ago(time.Hour)}
		},
		"no guard wanted":     func(s *Status) { s.Guard = Guard{Mode: "none", State: GuardOff} },
		"guard repaired":      func(s *Status) { s.Guard.Repairs, s.Guard.LastRepair = 3, ago(time.Minute) },
		"a node without pods": func(s *Status) { s.Mesh.OwnBlocks, s.BIRD[0].Prefixes = nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			s := healthyStatus()
			change(&s)
			if got := Problems(s); len(got) != 0 {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestProblemsWorstFirst(t *testing.T) {
	got := Problems(degradedStatus())
	order := Codes()
	inOrder := slices.IsSortedFunc(got, func(a, b Problem) int {
		if a.Severity != b.Severity {
			return a.Severity.rank() - b.Severity.rank()
		}
		return slices.Index(order, a.Code) - slices.Index(order, b.Code)
	})
	if !inOrder || got[0].Code != CodeBIRDDown || got[len(got)-1].Severity != Warning {
		t.Errorf("not the worst first: %+v", got)
	}
	for _, p := range got {
		if !slices.Contains(order, p.Code) {
			t.Errorf("code %s is not among Codes()", p.Code)
		}
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Hour:                            "0s",
		999 * time.Millisecond:                "0s",
		59 * time.Second:                      "59s",
		time.Minute:                           "1m",
		192 * time.Second:                     "3m12s",
		time.Hour - 1:                         "59m59s",
		5*time.Hour + 2*time.Minute:           "5h2m",
		24 * time.Hour:                        "1d",
		52 * time.Hour:                        "2d4h",
		5*24*time.Hour + 59*time.Minute:       "5d",
		400*24*time.Hour + 23*time.Hour:       "400d",
		10*24*time.Hour - time.Nanosecond:     "9d23h",
		5*time.Hour + 59*time.Second:          "5h",
		time.Duration(1<<63 - 1).Truncate(24): "106751d",
	} {
		if got := Age(d); got != want {
			t.Errorf("Age(%s) = %q, want %q", d, got, want)
		}
	}
}

// The reference page must know every problem.
func TestEveryCodeIsDocumented(t *testing.T) {
	page := readDoc(t)
	for _, c := range Codes() {
		if !strings.Contains(page, "`"+string(c)+"`") {
			t.Errorf("docs/admin-api.md does not speak of %s", c)
		}
	}
}

func readDoc(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../docs/admin-api.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}
