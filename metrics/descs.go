package metrics

import "github.com/prometheus/client_golang/prometheus"

// descs is what each metric of the collector is called and means. The names are relied on by dashboards and alerts.
type descs struct {
	sessionUp, sessionAt, sessionFlaps *prometheus.Desc
	prefixes, rejected                 *prometheus.Desc
	nodes, blocks, held, conflicts     *prometheus.Desc
	limit, limitUsed                   *prometheus.Desc
	rosterAt, rosterFailures           *prometheus.Desc
	routes, repairs, changes, errors   *prometheus.Desc
	rules                              *prometheus.Desc
	lastResync, resyncDue, overruns    *prometheus.Desc
	guardActive, guardWanted           *prometheus.Desc
	hostChecks                         *prometheus.Desc
	reloadOK, reloadAt                 *prometheus.Desc
	probeTargets, probeSuccess         *prometheus.Desc
	probeRTT, pathMTU                  *prometheus.Desc
	probePossible, podMTU, probeRound  *prometheus.Desc
}

func (d descs) all() []*prometheus.Desc {
	return []*prometheus.Desc{
		d.sessionUp, d.sessionAt, d.sessionFlaps, d.prefixes, d.rejected, d.nodes, d.blocks, d.held, d.conflicts,
		d.limit, d.limitUsed, d.rosterAt, d.rosterFailures,
		d.routes, d.rules, d.repairs, d.changes, d.errors, d.lastResync, d.resyncDue, d.overruns,
		d.guardActive, d.guardWanted, d.hostChecks, d.reloadOK, d.reloadAt,
		d.probeTargets, d.probeSuccess, d.probeRTT, d.pathMTU, d.probePossible, d.podMTU, d.probeRound,
	}
}

func newDescs(o Options) descs {
	session := []string{"role", "cluster", "peer"}
	probed, path := []string{"cluster", "kind", "peer"}, []string{"cluster", "peer"}
	if o.NoPeerLabel {
		session, probed, path = session[:2], probed[:2], path[:1]
	}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("routed_"+name, help, labels, nil)
	}
	return descs{
		sessionUp: desc("bgp_session_up", "Whether the BGP session is established.", session...),
		sessionAt: desc("bgp_session_established_timestamp_seconds",
			"When the BGP session was established; absent while it is not.", session...),
		sessionFlaps: desc("bgp_session_flaps_total", "How often the BGP session left Established.", session...),
		prefixes: desc("bgp_prefixes",
			"Prefixes in the Adj-RIB-In (received), of these accepted by policy, and told to peers (advertised).",
			"direction", "cluster", "family"),
		rejected: desc("bgp_prefixes_rejected_total", "Announcements that the import policy refused.", "cluster", "reason"),
		nodes: desc("cluster_nodes", "Nodes of a remote cluster in the roster (known) and with a session (up).",
			"cluster", "state"),
		blocks: desc("cluster_blocks",
			"Blocks of a remote cluster; stale ones are kept although their session was lost, held ones although withdrawn.",
			"cluster", "family", "state"),
		held:      desc("withdrawals_held", "Blocks that were withdrawn and whose routes the withdrawal brake keeps for a while.", "cluster"),
		conflicts: desc("block_conflicts", "Blocks of a remote cluster that more than one node announces.", "cluster"),
		limit:     desc("prefix_limit", "How many prefixes are accepted of a whole cluster, and of one of its nodes.", "cluster", "scope"),
		limitUsed: desc("prefix_limit_used",
			"How many prefixes count against the limit: of the cluster, and of the node that has the most.", "cluster", "scope"),
		rosterAt: desc("roster_last_success_timestamp_seconds",
			"When the list of a cluster's nodes was last known to be what its Kubernetes API has; 0: never.", "cluster"),
		rosterFailures: desc("roster_failures_total", "Calls to the Kubernetes API that lists a cluster's nodes that failed.", "cluster"),
		routes: desc("routes", "Routes wanted in the kernel, and how many of these are in each other state.",
			"cluster", "family", "state"),
		rules:   desc("rules", "Rules that lead lookups to the route table: wanted, and of these present in the kernel.", "state"),
		repairs: desc("route_repairs_total", "Routes and rules put back, by what took them away.", "cause"),
		changes: desc("route_changes_total", "Operations on routes that the kernel acknowledged.", "op"),
		errors:  desc("reconcile_errors_total", "Kernel operations that failed.", "op", "errno"),
		lastResync: desc("last_successful_resync_timestamp_seconds",
			"When the last full compare with the kernel that succeeded ended; 0: none yet."),
		resyncDue:   desc("resync_interval_seconds", "How often a full compare with the kernel is due; 0: not known yet."),
		overruns:    desc("netlink_overruns_total", "Times that kernel events were lost; a full compare follows each."),
		guardActive: desc("guard_active", "Whether the kernel lets only roster peers and the local BIRD reach the BGP port."),
		guardWanted: desc("guard_wanted", "Whether the configuration asks for that guard."),
		reloadOK:    desc("config_last_reload_successful", "Whether the last load of the configuration was accepted."),
		reloadAt:    desc("config_last_reload_success_timestamp_seconds", "When a configuration was last accepted."),
		probeTargets: desc("probe_targets", "Next hops and addresses in blocks that are probed by ICMP echo.",
			"cluster", "kind", "state"),
		probeSuccess:  desc("probe_success", "Whether the last ICMP echo to the target was answered.", probed...),
		probeRTT:      desc("probe_rtt_seconds", "Round-trip time of the last ICMP echo that was answered.", probed...),
		pathMTU:       desc("path_mtu_bytes", "The largest packet that reaches the next hop unfragmented.", path...),
		probePossible: desc("probe_possible", "Whether probes that are switched on can be sent."),
		podMTU:        desc("pod_mtu_bytes", "The largest MTU of this node's devices of pods."),
		probeRound:    desc("probe_round_seconds", "How long it takes to probe every target once."),
		hostChecks: desc("host_checks",
			"Findings of the daemon's last look at its host, by check and result: what breaks pod traffic although every route is right.",
			"check", "result"),
	}
}
