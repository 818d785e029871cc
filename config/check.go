package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// Check judges what one value alone cannot show: ranges that overlap, nodes inside ranges, a node in two clusters,
// our own address among the remote nodes, a remote cluster without nodes, peers of a family that this node has no address of.
// nodes gives, by the remote cluster's name, the nodes that its other sources list; those in the configuration itself
// are taken from c. The error joins one [Error] for each clash, naming both keys and their lines. Check changes nothing.
func Check(c *Config, nodes map[string]Listed) error {
	k := &checker{c: c, src: c.src, ranges: make(map[netip.Prefix]claim), nodes: make(map[netip.Addr]claim)}
	if k.src == nil {
		k.src = &source{file: "configuration"}
	}
	k.collectRanges()
	k.checkRanges()
	k.own()
	k.bird()
	k.nodeRanges()
	for i, r := range c.Remotes {
		k.sessions(i, r)
		k.remote(i, r, nodes[r.Name])
	}
	sortByPlace(k.errs)
	return joinErrors(k.errs)
}

// Listed is what the sources of one remote cluster's nodes list, those in the configuration itself apart.
type Listed struct {
	HostsFile  []netip.Addr
	Kubernetes []netip.Addr // as last known; none may be known yet
}

// claim is one use of a range or an address: by whom, and where the file says so.
type claim struct {
	prefix  netip.Prefix
	cluster string
	at      place
}

// String is how a message speaks of the other side of a clash.
func (c claim) String() string {
	if c.at.line == 0 {
		return c.at.key
	}
	return fmt.Sprintf("%s (line %d)", c.at.key, c.at.line)
}

type checker struct {
	c      *Config
	src    *source
	all    []claim // every pod and service range, in the order of the file
	ranges map[netip.Prefix]claim
	nodes  map[netip.Addr]claim
	errs   []*Error
}

func (k *checker) fail(p place, format string, args ...any) {
	k.errs = append(k.errs, k.src.errorAt(p, format, args...))
}

// at finds where a value stands; a key that the file does not have stands nowhere.
func (k *checker) at(key string) place {
	if p, ok := k.c.places[key]; ok {
		return p
	}
	return place{key: key}
}

func (k *checker) collectRanges() {
	add := func(cluster, key string, prefixes []netip.Prefix) {
		for i, p := range prefixes {
			k.all = append(k.all, claim{p, cluster, k.at(fmt.Sprintf("%s[%d]", key, i))})
		}
	}
	add(k.c.Cluster.Name, "cluster.podCIDRs", k.c.Cluster.PodCIDRs)
	add(k.c.Cluster.Name, "cluster.serviceCIDRs", k.c.Cluster.ServiceCIDRs)
	for i, r := range k.c.Remotes {
		add(r.Name, fmt.Sprintf("remotes[%d].podCIDRs", i), r.PodCIDRs)
		add(r.Name, fmt.Sprintf("remotes[%d].serviceCIDRs", i), r.ServiceCIDRs)
	}
}

// checkRanges reports each range that is equal to or inside another, and leaves them all in k.ranges. Two ranges
// overlap only so, hence looking up the prefixes above each is enough, however many ranges there are.
func (k *checker) checkRanges() {
	widestFirst := slices.Clone(k.all)
	slices.SortStableFunc(widestFirst, func(a, b claim) int { return cmp.Compare(a.prefix.Bits(), b.prefix.Bits()) })
	for _, r := range widestFirst {
		if other, ok := k.enclosing(r.prefix); ok {
			k.fail(r.at, "%s overlaps %s of %s; no two ranges of pods or services may", r.prefix, other.prefix, other)
		}
		if _, taken := k.ranges[r.prefix]; !taken {
			k.ranges[r.prefix] = r
		}
	}
}

// enclosing finds the narrowest known range that contains p.
func (k *checker) enclosing(p netip.Prefix) (claim, bool) {
	for bits := p.Bits(); bits >= 0; bits-- {
		above, err := p.Addr().Prefix(bits)
		if err != nil {
			return claim{}, false
		}
		if r, ok := k.ranges[above]; ok {
			return r, true
		}
	}
	return claim{}, false
}

// nodeRanges reports each range of nodes that overlaps one of pods or services: a next hop would lie behind a route of ours.
func (k *checker) nodeRanges() {
	nodes := &checker{ranges: make(map[netip.Prefix]claim)}
	for i, r := range k.c.Remotes {
		for j, p := range r.NodeCIDRs {
			at := k.at(fmt.Sprintf("remotes[%d].nodeCIDRs[%d]", i, j))
			nodes.ranges[p] = claim{prefix: p, cluster: r.Name, at: at}
			if other, ok := k.enclosing(p); ok {
				k.fail(at, "%s lies inside %s of %s; nodes live outside the ranges of pods and services", p, other.prefix, other)
			}
			k.ofOurFamilies(p, p.Addr(), at)
		}
	}
	for _, r := range k.all {
		if n, ok := nodes.enclosing(r.prefix); ok && n.prefix != r.prefix {
			k.fail(n.at, "%s contains %s of %s; nodes live outside the ranges of pods and services", n.prefix, r.prefix, r)
		}
	}
}

// own claims this node's addresses.
func (k *checker) own() {
	own := []struct {
		key  string
		addr netip.Addr
	}{{"node.address", k.c.Node.Address}, {"node.address6", k.c.Node.Address6}}
	for _, o := range own {
		if !o.addr.IsValid() {
			continue
		}
		mine := claim{cluster: k.c.Cluster.Name, at: k.at(o.key)}
		k.nodes[o.addr] = mine
		k.outsideRanges(o.addr, mine.at)
	}
	for i, a := range k.c.Listen.Addresses {
		if _, known := k.nodes[a]; !known {
			k.nodes[a] = claim{cluster: k.c.Cluster.Name, at: k.at(fmt.Sprintf("listen.addresses[%d]", i))}
		}
	}
}

// sessions that carry both families have a next hop of each to announce.
func (k *checker) sessions(i int, r Remote) {
	if r.Sessions == SessionBoth && len(k.c.Node.Addresses()) < 2 {
		k.fail(k.at(fmt.Sprintf("remotes[%d].sessionFamilies", i)), "both needs node.address and node.address6")
	}
}

// remote claims the addresses of a remote cluster's nodes.
func (k *checker) remote(i int, r Remote, listed Listed) {
	if len(r.Reflectors) > 0 {
		for j, a := range r.Reflectors {
			k.node(a.Addr(), r.Name, k.at(fmt.Sprintf("remotes[%d].reflectors[%d]", i, j)))
		}
		return
	}
	key := fmt.Sprintf("remotes[%d].nodes", i)
	seen := make(map[netip.Addr]bool)
	claimAt := func(a netip.Addr, at place) {
		if !seen[a] {
			seen[a] = true
			k.node(a, r.Name, at)
		}
	}
	for j, a := range r.Nodes.Addresses {
		claimAt(a, k.at(fmt.Sprintf("%s.addresses[%d]", key, j)))
	}
	for _, a := range listed.HostsFile {
		claimAt(a, k.at(key+".hostsFile"))
	}
	for _, a := range listed.Kubernetes {
		claimAt(a, k.at(key+".kubernetes.kubeconfig"))
	}
	if len(seen) == 0 && !r.Nodes.Kubernetes.Used() {
		k.fail(k.at(key+".hostsFile"), "%q lists no node; a remote cluster has at least one", r.Nodes.HostsFile)
	}
}

func (k *checker) node(a netip.Addr, cluster string, at place) {
	other, taken := k.nodes[a]
	switch {
	case taken && other.cluster == k.c.Cluster.Name:
		k.fail(at, "%s is this node's own address, %s; a remote cluster has only other nodes", a, other)
	case taken:
		k.fail(at, "%s is also a node of %s, %s; a node or reflector belongs to one cluster", a, other.cluster, other)
	default:
		k.nodes[a] = claim{cluster: cluster, at: at}
	}
	k.outsideRanges(a, at)
	k.ofOurFamilies(a, a, at)
}

// ofOurFamilies reports what is of a family that this node has no address of. what names it.
func (k *checker) ofOurFamilies(what any, a netip.Addr, at place) {
	switch {
	case a.Is6() && !k.c.Node.Address6.IsValid():
		k.fail(at, "%s is IPv6, and this node has no node.address6", what)
	case a.Is4() && !k.c.Node.Address.IsValid():
		k.fail(at, "%s is IPv4, and this node has no node.address", what)
	}
}

// bird reports sessions with the local BIRD in a family that this node has no address of.
func (k *checker) bird() {
	for i, d := range k.c.BIRD.Dial {
		k.ofOurFamilies(d, d.Addr(), k.atItem("bird.dial", i))
	}
	for i, a := range k.c.BIRD.Accept {
		k.ofOurFamilies(a, a, k.atItem("bird.accept", i))
	}
}

// atItem finds where an element of a list stands that may be written as a single value.
func (k *checker) atItem(key string, i int) place {
	if p, ok := k.c.places[fmt.Sprintf("%s[%d]", key, i)]; ok {
		return p
	}
	return k.at(key)
}

func (k *checker) outsideRanges(a netip.Addr, at place) {
	if r, ok := k.enclosing(netip.PrefixFrom(a, a.BitLen())); ok {
		k.fail(at, "the node %s lies inside %s of %s; nodes live outside the ranges of pods and services", a, r.prefix, r)
	}
}
