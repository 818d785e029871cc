package config

import (
	"net/netip"
	"slices"
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
	v.atMost(place{key: "remotes"}, len(r.Remotes), maxRemotes)
	for _, one := range r.Remotes {
		c.Remotes = append(c.Remotes, v.remote(one))
	}
	v.remoteNames(r)
	c.Node = v.node(r.Node, slices.Concat(c.Cluster.PodCIDRs, c.RemotePodCIDRs()))
	c.Listen = v.listen(r.Listen, c.Node)
	c.BIRD = v.bird(r.BIRD, c.Listen)
	c.Timers = Timers{HoldTime: v.holdTime(r.Timers.HoldTime)}
	c.Kernel = v.kernel(r.Kernel)
	c.Mesh = v.mesh(r.Mesh)
	c.Probe = v.probe(r.Probe)
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
		PeerLabel:     v.boolean(r.PeerLabel, true),
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
