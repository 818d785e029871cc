package config

import (
	"net/netip"
	"strings"
	"time"
)

// The defaults that several keys share.
const (
	defaultASN  = 64512 // Calico's
	defaultPort = 1790
)

// maxRemotes bounds the remote clusters: the kernel walks their rules one by one for every packet.
const maxRemotes = 1024

// config validates everything. Its order matters only where one section's default comes from another.
func (v *validator) config(r *raw) *Config {
	c := &Config{src: v.src, places: v.places}
	c.Cluster = v.cluster(r.Cluster)
	c.Node = v.node(r.Node)
	c.Listen = v.listen(r.Listen, c.Node)
	c.BIRD = v.bird(r.BIRD, c.Listen)
	v.atMost(place{key: "remotes"}, len(r.Remotes), maxRemotes)
	for _, one := range r.Remotes {
		c.Remotes = append(c.Remotes, v.remote(one))
	}
	v.remoteNames(r)
	c.Timers = Timers{HoldTime: v.holdTime(r.Timers.HoldTime)}
	c.Kernel = v.kernel(r.Kernel)
	c.Mesh = v.mesh(r.Mesh)
	c.Metrics = v.metrics(r.Metrics)
	c.Admin = v.admin(r.Admin)
	c.State = v.state(r.State)
	c.Log = Log{Level: v.choice(r.Log.Level, "info", "debug", "warn", "error")}
	c.files, c.warnings = v.files, v.warnings
	return c
}

func (v *validator) cluster(r rawCluster) Cluster {
	c := Cluster{Name: v.name(r.Name), ASN: v.asn(r.ASN)}
	if r.ICPConfig.empty() {
		c.PodCIDRs, c.ServiceCIDRs = v.prefixes(r.PodCIDRs), v.prefixes(r.ServiceCIDRs)
		if len(r.PodCIDRs.items) == 0 {
			v.fail(r.PodCIDRs.place,
				"missing; list what this cluster's pods use, or name ICP's own file in cluster.icpConfig")
		}
		return c
	}
	if path := v.file(r.ICPConfig); path != "" {
		c.PodCIDRs, c.ServiceCIDRs = v.icp(r.ICPConfig.place, path)
	}
	for _, l := range []list{r.PodCIDRs, r.ServiceCIDRs} {
		if len(l.items) > 0 {
			v.fail(l.place, "set beside cluster.icpConfig (line %d), which gives it; leave one of them out", r.ICPConfig.line)
		}
	}
	return c
}

// name gives a cluster's name: it is a metrics label and a column of tables.
func (v *validator) name(s scalar) string {
	text, ok := v.text(s)
	if s.absent() {
		v.fail(s.place, "missing; every cluster has a name")
	}
	if ok && !isName(text) {
		v.fail(s.place, "%q is not a name of 1 to 63 letters, digits, '-', '_' and '.' that begins with a letter or digit", text)
	}
	return text
}

func isName(s string) bool {
	const alnum = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	return len(s) >= 1 && len(s) <= 63 && strings.IndexByte(alnum, s[0]) >= 0 && strings.Trim(s, alnum+"-_.") == ""
}

// asn gives an AS number that a speaker may have: AS 0 (RFC 7607), AS_TRANS (RFC 6793) and the last ones
// (RFC 7300) are reserved.
func (v *validator) asn(s scalar) uint32 {
	n := uint32(v.number(s, defaultASN, 1, 1<<32-2))
	if n == 23456 || n == 65535 {
		v.fail(s.place, "%d is a reserved AS number", n)
	}
	return n
}

func (v *validator) remoteNames(r *raw) {
	first := map[string]scalar{r.Cluster.Name.text: r.Cluster.Name}
	for _, one := range r.Remotes {
		name := one.Name
		if name.empty() {
			continue
		}
		if before, again := first[name.text]; again {
			v.fail(name.place, "%q is already %s (line %d); every cluster has its own name",
				name.text, before.key, before.line)
			continue
		}
		first[name.text] = name
	}
}

func (v *validator) node(r rawNode) Node {
	n := Node{Address: v.nodeAddress(r.Address), Address6: v.nodeAddress6(r.Address6)}
	if n.Address.IsValid() {
		n.RouterID = v.routerID(r.RouterID, n.Address)
	}
	return n
}

// nodeAddress gives node.address: the file's, else $NODE_IP, else the address that owns the default route.
func (v *validator) nodeAddress(s scalar) netip.Addr {
	switch ip := v.env.getenv("NODE_IP"); {
	case !s.empty():
	case ip != "":
		s = scalar{place: place{key: "node.address ($NODE_IP)"}, kind: kindText, text: ip}
	case v.env.DefaultAddress == nil:
		v.fail(s.place, "missing, and $NODE_IP is not set")
		return netip.Addr{}
	default:
		a, err := v.env.DefaultAddress()
		if err != nil {
			v.fail(s.place, "missing, $NODE_IP is not set, and the default route has no address: %v", err)
			return netip.Addr{}
		}
		s = scalar{place: place{key: "node.address (of the default route)"}, kind: kindText, text: a.String()}
	}
	v.places["node.address"] = s.place
	a, ok := v.nodeAddr(s)
	if ok && !a.Is4() {
		v.fail(s.place, "%s is not an IPv4 address; an IPv6 address goes into node.address6, beside it", a)
		return netip.Addr{}
	}
	return a
}

func (v *validator) nodeAddress6(s scalar) netip.Addr {
	if s.empty() {
		return netip.Addr{}
	}
	a, ok := v.nodeAddr(s)
	if ok && a.Is4() {
		v.fail(s.place, "%s is not an IPv6 address", a)
	}
	return a
}

func (v *validator) routerID(s scalar, address netip.Addr) netip.Addr {
	if s.empty() {
		id, ok := deriveRouterID(address)
		if !ok {
			v.fail(s.place, "missing; none can be derived from %s, which is in 240.0.0.0/4", address)
		}
		return id
	}
	text, ok := v.text(s)
	if !ok {
		return netip.Addr{}
	}
	id, err := netip.ParseAddr(text)
	switch {
	case err != nil || !id.Is4() || id.IsUnspecified():
		v.fail(s.place, "%q is not an identifier in the form of an IPv4 address other than 0.0.0.0", text)
	case id == address:
		v.fail(s.place, "%s is node.address, which the local BIRD uses; choose another or leave it out", id)
	}
	return id
}

func (v *validator) listen(r rawListen, n Node) Listen {
	l := Listen{Port: v.port(r.Port, defaultPort), Guard: GuardAuto}
	v.atMost(r.Addresses.place, len(r.Addresses.items), 16)
	l.Addresses = distinct(v, r.Addresses.items, v.localAddr)
	if len(r.Addresses.items) == 0 {
		for _, a := range []netip.Addr{n.Address, n.Address6} {
			if a.IsValid() {
				l.Addresses = append(l.Addresses, a)
			}
		}
	}
	l.Guard = Guard(v.choice(r.Guard, string(GuardAuto), string(GuardNFTables), string(GuardNone)))
	return l
}

// maxBIRD bounds the sessions with the local BIRD: one process, or two (BIRD 1.6 has one for each family).
const maxBIRD = 2

func (v *validator) bird(r rawBIRD, l Listen) BIRD {
	var b BIRD
	switch dial, accept := len(r.Dial.items) > 0, len(r.Accept.items) > 0; {
	case dial && accept:
		v.fail(r.Accept.place, "set beside bird.dial (line %d); exactly one of the two", r.Dial.line)
	case !dial && !accept:
		v.fail(r.place, "missing; exactly one of bird.dial and bird.accept says how to reach the local BIRD")
	}
	v.atMost(r.Dial.place, len(r.Dial.items), maxBIRD)
	v.atMost(r.Accept.place, len(r.Accept.items), maxBIRD)
	b.Dial = v.dial(r.Dial.items, l)
	b.Accept = distinct(v, r.Accept.items, v.localAddr)
	b.Password = v.password(r.Password, r.PasswordFile)
	return b
}

// dial gives the endpoints of the local BIRD. Two of one address would be one peer twice.
func (v *validator) dial(items []scalar, l Listen) []netip.AddrPort {
	var out []netip.AddrPort
	distinct(v, items, func(s scalar) (netip.Addr, bool) {
		text, ok := v.text(s)
		if !ok {
			return netip.Addr{}, false
		}
		ap, ok := v.addrPort(s, text)
		if !ok {
			return netip.Addr{}, false
		}
		if ap.Addr().IsUnspecified() {
			v.fail(s.place, "%s is every address; name the one that BIRD listens on", ap.Addr())
			return netip.Addr{}, false
		}
		for _, own := range l.Addresses {
			if ap == netip.AddrPortFrom(own, l.Port) {
				v.fail(s.place, "%s is where routed itself listens (listen.addresses, listen.port)", ap)
				return netip.Addr{}, false
			}
		}
		out = append(out, ap)
		return ap.Addr(), true
	})
	return out
}

// The range of a hold time: RFC 4271 section 4.2 sets the least; beyond the most a dead peer is noticed too late.
const (
	minHoldTime = 3 * time.Second
	maxHoldTime = 300 * time.Second
)

func (v *validator) holdTime(s scalar) time.Duration {
	if s.absent() {
		return 0
	}
	d, err := time.ParseDuration(s.text)
	if s.kind != kindText || err != nil || d < minHoldTime || d > maxHoldTime || d%time.Second != 0 {
		v.fail(s.place, "%q is not a duration of whole seconds from %s to %s, with its unit, such as 9s", s.text, minHoldTime, short(maxHoldTime))
		return 0
	}
	return d
}

func (v *validator) mesh(r rawMesh) Mesh {
	return Mesh{
		Retention:       v.duration(r.Retention, time.Hour, 30*24*time.Hour),
		WithdrawalBrake: v.brake(r.WithdrawalBrake),
	}
}

func (v *validator) brake(r rawBrake) WithdrawalBrake {
	return WithdrawalBrake{
		SharePercent: int(v.number(r.Share, 50, 1, 100)),
		Hold:         v.duration(r.Hold, 30*time.Second, time.Hour),
	}
}

func (v *validator) metrics(r rawMetrics) Metrics {
	m := Metrics{
		Listen:        netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 9790),
		WebConfigFile: v.file(r.WebConfigFile),
	}
	if text, ok := v.text(r.Listen); ok {
		if strings.HasPrefix(text, ":") {
			text = "[::]" + text // every address, IPv4 included, as elsewhere in Go and Prometheus
		}
		m.Listen, _ = v.addrPort(r.Listen, text)
	}
	return m
}

func (v *validator) state(r rawState) State {
	dir := v.path(r.Directory)
	if dir == "" {
		dir = "/var/lib/routed"
	}
	return State{Directory: dir}
}

// maxSocketPath is the longest path of a unix socket (sun_path, unix(7)), without its final NUL.
const maxSocketPath = 107

func (v *validator) admin(r rawAdmin) Admin {
	a := Admin{Socket: "/run/routed/routed.sock"}
	if r.Socket.absent() {
		return a
	}
	text, ok := v.text(r.Socket)
	if !ok {
		return a
	}
	isPath := strings.HasPrefix(text, "/") && !strings.HasSuffix(text, "/") && !strings.ContainsRune(text, 0)
	if !isPath || len(text) > maxSocketPath {
		v.fail(r.Socket.place, "%q is not the absolute path of a socket, at most %d bytes long", text, maxSocketPath)
		return a
	}
	a.Socket = v.path(r.Socket)
	return a
}
