package admin

import (
	"net/netip"
	"time"
)

// SchemaVersion is the version of the schema in this file, in every answer's field "version" and header
// Routed-Schema. Fields may be added without a new version; renaming, removing or changing the meaning of one needs it.
//
// Names are snake_case. Times are RFC 3339 and absent when the thing never happened. Durations are seconds, in fields
// that end in _seconds. Addresses and prefixes are strings. A list is never null.
const SchemaVersion = 1

// Status is one node at one moment: GET /v1/status.
type Status struct {
	Version  int       `json:"version"` // SchemaVersion; the server sets it
	At       time.Time `json:"at"`      // when the picture was taken, by the daemon's clock
	Healthy  bool      `json:"healthy"` // no problems; the server sets it
	Problems []Problem `json:"problems"`
	Ready    bool      `json:"ready"` // as /readyz
	NotReady string    `json:"not_ready,omitempty"`
	Node     Node      `json:"node"`
	Mesh     Mesh      `json:"mesh"`
	BIRD     []Peer    `json:"bird"` // the sessions with the local BIRD
	Clusters []Cluster `json:"clusters"`

	KeysRefused int    `json:"keys_refused"`          // peers held closed: the kernel refused their TCP MD5 key
	KeyRefusal  string `json:"key_refusal,omitempty"` // why, of the first of them

	HostChecks []HostCheck `json:"host_checks"` // what the daemon's last look at its host found

	Kernel Kernel `json:"kernel"`
	Guard  Guard  `json:"guard"`
	Probe  *Probe `json:"probe,omitempty"` // absent: probes are off
	Config Config `json:"config"`
}

// Degraded reports whether somebody should look: `routed status` then exits 1.
func (s Status) Degraded() bool { return len(s.Problems) > 0 }

// Severity says how bad a problem is.
type Severity string

// The severities.
const (
	// Critical: traffic between clusters is lost, or will be when retention ends.
	Critical Severity = "critical"
	// Warning: traffic flows, but something is not as it should be.
	Warning Severity = "warning"
)

// Problem is one thing that is wrong, and what to do about it.
type Problem struct {
	Severity Severity `json:"severity"`
	Code     Code     `json:"code"`
	Cluster  string   `json:"cluster,omitempty"` // when it is about one remote cluster
	Text     string   `json:"text"`
	Remedy   string   `json:"remedy"`
}

// Node is the node and the daemon on it.
type Node struct {
	Cluster  string     `json:"cluster"`
	Address  netip.Addr `json:"address,omitzero"` // IPv4; absent: it has none
	Address6 netip.Addr `json:"address6,omitzero"`
	RouterID netip.Addr `json:"router_id"`
	Release  string     `json:"release"` // of the running program
	Started  time.Time  `json:"started"`
}

// Mesh is what the daemon believes, all clusters together.
type Mesh struct {
	Converged        bool       `json:"converged"`
	ConvergedBy      Cause      `json:"converged_by,omitempty"`
	ConvergedAt      time.Time  `json:"converged_at,omitzero"`
	ConvergeBefore   time.Time  `json:"converge_before,omitzero"` // the deadline, when nothing is waited for any more
	RetentionSeconds float64    `json:"retention_seconds"`
	OwnKnown         bool       `json:"own_known"` // this node's blocks are known, so the others may be told
	OwnBlocks        []OwnBlock `json:"own_blocks"`
}

// Cause says what ended the wait for convergence.
type Cause string

// The causes.
const (
	ByEndOfRIB Cause = "end_of_rib" // every peer has sent its End-of-RIB (RFC 4724)
	ByDeadline Cause = "deadline"
)

// OwnBlock is one block of this node, as remote clusters are told.
type OwnBlock struct {
	Prefix netip.Prefix `json:"prefix"`
	Source string       `json:"source"` // bird, retained, kernel
	Since  time.Time    `json:"since,omitzero"`
}

// Cluster is one remote cluster.
type Cluster struct {
	Name          string         `json:"name"`
	PodCIDRs      []netip.Prefix `json:"pod_cidrs"`
	Reflected     bool           `json:"reflected"` // by reflectors; they are counted in the place of its nodes
	NodesKnown    int            `json:"nodes_known"`
	NodesUp       int            `json:"nodes_up"`
	NodesDown     []NodeDown     `json:"nodes_down"` // at most MaxNodesDown, never seen first, then longest down
	Blocks        []BlockCount   `json:"blocks"`
	Routes        []RouteCount   `json:"routes"`
	Held          int            `json:"held"` // withdrawals that the brake holds back
	HeldUntil     time.Time      `json:"held_until,omitzero"`
	Conflicts     int            `json:"conflicts"`      // blocks that more than one node announces
	RejectedNow   int            `json:"rejected_now"`   // announced by its nodes at this moment, and refused
	RejectedTotal uint64         `json:"rejected_total"` // since the daemon started
	LastRejected  *Rejection     `json:"last_rejected,omitempty"`
	Roster        *Roster        `json:"roster,omitempty"` // absent: its nodes come from no API
}

// Roster is how the Kubernetes API stands that lists a cluster's nodes.
type Roster struct {
	Server      string    `json:"server"`
	Addresses   int       `json:"addresses"`             // in the list in force
	LastSuccess time.Time `json:"last_success,omitzero"` // when that was last known to be what the API lists
	Since       time.Time `json:"since,omitzero"`        // since when it is not
	Error       string    `json:"error,omitempty"`       // why
	Failures    uint64    `json:"failures"`              // of calls to the API, since it is followed
}

// MaxNodesDown bounds [Cluster.NodesDown]; NodesKnown less NodesUp is how many nodes are down.
const MaxNodesDown = 16

// NodeDown is a remote node without an established session, by the address of the session: a dual-stack node may have two.
type NodeDown struct {
	Address netip.Addr `json:"address"`
	Name    string     `json:"name,omitempty"`
	Since   time.Time  `json:"since,omitzero"` // absent: was never up
	Reason  string     `json:"reason,omitempty"`
}

// BlockCount counts a cluster's blocks of one family.
type BlockCount struct {
	Family string `json:"family"` // ipv4, ipv6
	Fresh  int    `json:"fresh"`
	Stale  int    `json:"stale"` // kept although their session was lost
	Held   int    `json:"held"`  // kept although they were withdrawn: the brake is on
}

// RouteCount counts a cluster's wanted routes of one family by state; Wanted is the sum of the others.
type RouteCount struct {
	Family     string `json:"family"`
	Wanted     int    `json:"wanted"`
	Installed  int    `json:"installed"`
	Missing    int    `json:"missing"`
	Mismatched int    `json:"mismatched"`
	Conflict   int    `json:"conflict"`
	Unresolved int    `json:"unresolved"`
	Shadowed   int    `json:"shadowed"`
}

// Kernel is the route table and the rules that routed owns.
type Kernel struct {
	Table          uint32    `json:"table"`
	Protocol       uint8     `json:"protocol"`
	Adopted        bool      `json:"adopted"`         // what an earlier run left has been read
	DeletesAllowed bool      `json:"deletes_allowed"` // the mesh has converged: what nobody wants is removed
	RulesWanted    int       `json:"rules_wanted"`
	RulesPresent   int       `json:"rules_present"`
	LastReconcile  Reconcile `json:"last_reconcile,omitzero"`
	LastResync     time.Time `json:"last_resync,omitzero"` // last full compare against the kernel that succeeded
	ResyncSeconds  float64   `json:"resync_interval_seconds"`
	Repairs        []Count   `json:"repairs"` // by cause
	Changes        []Count   `json:"changes"` // by operation
	Errors         []Count   `json:"errors"`  // by operation and errno, "add EINVAL"
	Overruns       uint64    `json:"overruns"`
	LastError      string    `json:"last_error,omitempty"`
	LastErrorAt    time.Time `json:"last_error_at,omitzero"`
}

// Reconcile is one run of the reconciler.
type Reconcile struct {
	Kind            string    `json:"kind"` // change, repair, resync
	At              time.Time `json:"at"`
	DurationSeconds float64   `json:"duration_seconds"`
}

// HostCheck is one finding of a check of the host, as `routed doctor` tells it.
type HostCheck struct {
	Name   string      `json:"name"` // of the check, stable; one that finds several things has an entry for each
	Result CheckResult `json:"result"`
	Why    string      `json:"why"`
	Fix    string      `json:"fix,omitempty"`
	At     time.Time   `json:"at"` // when the daemon looked
}

// CheckResult is what a check came to.
type CheckResult string

// The results.
const (
	CheckFailed  CheckResult = "failed"
	CheckWarning CheckResult = "warning"
	CheckUnknown CheckResult = "cannot tell"
	CheckGood    CheckResult = "good"
)

// Guard is the packet filter in front of the BGP port.
type Guard struct {
	Mode        string     `json:"mode"` // as configured: auto, nftables, none
	State       GuardState `json:"state"`
	Reason      string     `json:"reason,omitempty"` // why it is neither active nor off
	Since       time.Time  `json:"since,omitzero"`   // of the state
	Peers       int        `json:"peers"`            // remote nodes that may connect
	LastCheck   time.Time  `json:"last_check,omitzero"`
	Repairs     uint64     `json:"repairs"` // times that somebody had changed it
	LastRepair  time.Time  `json:"last_repair,omitzero"`
	Failures    uint64     `json:"failures"`
	LastError   string     `json:"last_error,omitempty"`
	LastErrorAt time.Time  `json:"last_error_at,omitzero"`
}

// GuardState is how the guard stands.
type GuardState string

// The states of the guard.
const (
	GuardStarting    GuardState = "starting"    // nothing was tried yet
	GuardActive      GuardState = "active"      // the kernel has it as wanted
	GuardOff         GuardState = "off"         // not wanted
	GuardUnavailable GuardState = "unavailable" // this host cannot have it
	GuardFailing     GuardState = "failing"     // it could be there, but is not as wanted
)

// Count is a named count since the daemon started.
type Count struct {
	Name  string `json:"name"`
	Count uint64 `json:"count"`
}

// Config is the configuration in force and the last attempt to reload it.
type Config struct {
	File            string    `json:"file"`
	LastReloadOK    bool      `json:"last_reload_successful"` // the first load counts as a reload
	LastReloadAt    time.Time `json:"last_reload_at,omitzero"`
	LastSuccessAt   time.Time `json:"last_reload_success_at,omitzero"`
	LastReloadError string    `json:"last_reload_error,omitempty"`
}

// Peers is every BGP session: GET /v1/peers.
type Peers struct {
	Version int       `json:"version"`
	At      time.Time `json:"at"`
	Peers   []Peer    `json:"peers"`
}

// Peer is one BGP session, the local BIRD's or a remote daemon's.
type Peer struct {
	Cluster      string        `json:"cluster"`
	Role         string        `json:"role"` // bird, remote, reflector
	Name         string        `json:"name,omitempty"`
	Address      netip.Addr    `json:"address"`
	Local        netip.Addr    `json:"local,omitzero"`
	ASN          uint32        `json:"asn"`
	Up           bool          `json:"up"`
	State        string        `json:"state"`                 // of the FSM (RFC 4271 section 8.2.2), lower case
	Since        time.Time     `json:"since,omitzero"`        // of up or not up; absent: was never up
	DownReason   string        `json:"down_reason,omitempty"` // why the last session ended, or none comes up
	Flaps        uint64        `json:"flaps"`                 // how often it left Established
	Families     []string      `json:"families"`              // negotiated in this session
	EndOfRIB     []string      `json:"end_of_rib"`            // families whose End-of-RIB came in this session
	Prefixes     []PrefixCount `json:"prefixes"`
	Advertised   int           `json:"advertised"` // prefixes we told the peer
	Rejected     []Count       `json:"rejected"`   // by reason, since the daemon started
	LastRejected []Rejection   `json:"last_rejected"`
}

// PrefixCount counts the prefixes of one family in a peer's Adj-RIB-In (RFC 4271 section 3.2).
type PrefixCount struct {
	Family   string `json:"family"`
	Received int    `json:"received"` // accepted and refused together
	Accepted int    `json:"accepted"`
	Rejected int    `json:"rejected"`
}

// Rejection is one announcement that the import policy refused.
type Rejection struct {
	Prefix  netip.Prefix `json:"prefix"`
	NextHop netip.Addr   `json:"next_hop,omitzero"`
	Reason  string       `json:"reason"`
	Detail  string       `json:"detail"`
	At      time.Time    `json:"at"`
}

// Routes is every route of the mesh, or of one cluster: GET /v1/routes.
type Routes struct {
	Version int       `json:"version"`
	At      time.Time `json:"at"`
	Routes  []Route   `json:"routes"`
}

// Route is one wanted route and how it stands in the kernel.
type Route struct {
	Prefix     netip.Prefix `json:"prefix"`
	Cluster    string       `json:"cluster"`
	NextHop    netip.Addr   `json:"next_hop"`
	Device     string       `json:"device,omitempty"`
	State      RouteState   `json:"state"`
	Since      time.Time    `json:"since,omitzero"`       // of the state
	OwnerSince time.Time    `json:"owner_since,omitzero"` // when this next hop was chosen
	StaleSince time.Time    `json:"stale_since,omitzero"` // when its session was lost; absent: fresh
	HeldSince  time.Time    `json:"held_since,omitzero"`  // when it was withdrawn, which the brake holds back
	Rivals     []netip.Addr `json:"rivals"`               // other nodes that announce the same prefix
	Error      string       `json:"error,omitempty"`      // why it is not installed
}

// RouteState is how a route stands in the kernel.
type RouteState string

// The states of a route.
const (
	RouteInstalled  RouteState = "installed"  // as wanted
	RouteMissing    RouteState = "missing"    // not in the kernel yet
	RouteMismatched RouteState = "mismatched" // ours, with another next hop or device
	RouteConflict   RouteState = "conflict"   // somebody else's route holds its place
	RouteUnresolved RouteState = "unresolved" // no way to its next hop, or the kernel refused it
	RouteShadowed   RouteState = "shadowed"   // in our table, but a lookup answers otherwise
)

// ErrorReply is the body of every answer that is not 200.
type ErrorReply struct {
	Version int         `json:"version"`
	Error   ErrorDetail `json:"error"`
}

// ErrorDetail says what went wrong; Code is stable.
type ErrorDetail struct {
	Code    string `json:"code"` // not_found, unknown_cluster, bad_address, method_not_allowed, internal
	Message string `json:"message"`
}
