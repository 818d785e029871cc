package config

// The raw structs are the file as it is written: every key there is, nothing judged. A key that is absent or null
// is the zero value, but for its place.

type raw struct {
	place
	Cluster rawCluster  `yaml:"cluster"`
	Node    rawNode     `yaml:"node"`
	BIRD    rawBIRD     `yaml:"bird"`
	Listen  rawListen   `yaml:"listen"`
	Remotes []rawRemote `yaml:"remotes"`
	Timers  rawTimers   `yaml:"timers"`
	Kernel  rawKernel   `yaml:"kernel"`
	Mesh    rawMesh     `yaml:"mesh"`
	Probe   rawProbe    `yaml:"probe"`
	Metrics rawMetrics  `yaml:"metrics"`
	Admin   rawAdmin    `yaml:"admin"`
	State   rawState    `yaml:"state"`
	Log     rawLog      `yaml:"log"`
}

type rawCluster struct {
	place
	Name         scalar `yaml:"name"`
	PodCIDRs     list   `yaml:"podCIDRs"`
	ServiceCIDRs list   `yaml:"serviceCIDRs"`
	ASN          scalar `yaml:"asn"`
	ICPConfig    scalar `yaml:"icpConfig"`
}

type rawNode struct {
	place
	Address  scalar `yaml:"address"`
	Address6 scalar `yaml:"address6"`
	RouterID scalar `yaml:"routerID"`
}

type rawBIRD struct {
	place
	Dial         oneOrMany `yaml:"dial"`
	Accept       oneOrMany `yaml:"accept"`
	Password     scalar    `yaml:"password"`
	PasswordFile scalar    `yaml:"passwordFile"`
}

type rawListen struct {
	place
	Addresses list   `yaml:"addresses"`
	Port      scalar `yaml:"port"`
	Guard     scalar `yaml:"guard"`
}

type rawRemote struct {
	place
	Name         scalar          `yaml:"name"`
	PodCIDRs     list            `yaml:"podCIDRs"`
	ServiceCIDRs list            `yaml:"serviceCIDRs"`
	ASN          scalar          `yaml:"asn"`
	Port         scalar          `yaml:"port"`
	Nodes        rawNodes        `yaml:"nodes"`
	Reflectors   list            `yaml:"reflectors"`
	NodeCIDRs    list            `yaml:"nodeCIDRs"`
	Sessions     scalar          `yaml:"sessionFamilies"`
	Password     scalar          `yaml:"password"`
	PasswordFile scalar          `yaml:"passwordFile"`
	MaxHops      scalar          `yaml:"maxHops"`
	Limits       rawLimits       `yaml:"limits"`
	BlockLengths rawBlockLengths `yaml:"blockLengths"`
	Probed       list            `yaml:"probeAddresses"`
}

type rawNodes struct {
	place
	Addresses  list           `yaml:"addresses"`
	HostsFile  scalar         `yaml:"hostsFile"`
	Kubernetes *rawKubernetes `yaml:"kubernetes"`
}

type rawKubernetes struct {
	place
	Kubeconfig    scalar `yaml:"kubeconfig"`
	Context       scalar `yaml:"context"`
	LabelSelector scalar `yaml:"labelSelector"`
}

type rawLimits struct {
	place
	PrefixesPerNode scalar `yaml:"prefixesPerNode"`
	Prefixes        scalar `yaml:"prefixes"`
}

type rawBlockLengths struct {
	place
	IPv4 list `yaml:"ipv4"`
	IPv6 list `yaml:"ipv6"`
}

type rawTimers struct {
	place
	HoldTime scalar `yaml:"holdTime"`
}

type rawKernel struct {
	place
	Table               scalar `yaml:"table"`
	Protocol            scalar `yaml:"protocol"`
	RulePriority        scalar `yaml:"rulePriority"`
	Encapsulation       scalar `yaml:"encapsulation"`
	OnExit              scalar `yaml:"onExit"`
	ResyncInterval      scalar `yaml:"resyncInterval"`
	ConvergenceDeadline scalar `yaml:"convergenceDeadline"`
}

type rawMesh struct {
	place
	Retention       scalar   `yaml:"retention"`
	WithdrawalBrake rawBrake `yaml:"withdrawalBrake"`
}

type rawBrake struct {
	place
	Share scalar `yaml:"share"`
	Hold  scalar `yaml:"hold"`
}

type rawProbe struct {
	place
	Interval         scalar `yaml:"interval"`
	Timeout          scalar `yaml:"timeout"`
	PathMTU          scalar `yaml:"pathMTU"`
	PacketsPerSecond scalar `yaml:"packetsPerSecond"`
	Addresses        scalar `yaml:"addresses"`
}

type rawMetrics struct {
	place
	Listen        scalar `yaml:"listen"`
	WebConfigFile scalar `yaml:"webConfigFile"`
	PeerLabel     scalar `yaml:"peerLabel"`
}

type rawAdmin struct {
	place
	Socket scalar `yaml:"socket"`
}

type rawState struct {
	place
	Directory scalar `yaml:"directory"`
}

type rawLog struct {
	place
	Level scalar `yaml:"level"`
}

// scalar is one value.
type scalar struct {
	place
	kind kind
	text string // as written; without quotes
}

// kind is the type that YAML gives a value.
type kind uint8

const (
	kindAbsent kind = iota
	kindText
	kindNumber // a whole number
	kindOther  // a fraction, a boolean
)

// absent reports whether the file has no such value.
func (s scalar) absent() bool { return s.kind == kindAbsent }

// empty reports whether the value is absent or "": how a file says "none" where there is no other way.
func (s scalar) empty() bool { return s.absent() || s.kind == kindText && s.text == "" }

// list is a sequence of values.
type list struct {
	place
	items []scalar
}

// oneOrMany is a list that may be written as a single value.
type oneOrMany struct{ list }
