package config

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"routed/peering/roster"
)

// validator turns the raw structs into a Config and gathers every value that is not sane.
type validator struct {
	src    *source
	env    Env
	dir    string // of the configuration file
	places map[string]place
	files  []string
	errs   []*Error

	warnings []string
}

func (v *validator) fail(p place, format string, args ...any) {
	v.errs = append(v.errs, v.src.errorAt(p, format, args...))
}

// unsupported refuses a key whose feature does not exist yet. It never shows the value, which may be a secret.
func (v *validator) unsupported(p place, instead string) {
	v.fail(p, "not supported yet; %s", instead)
}

// text gives a value that must be text; ok is false when it is absent or something else, which is an error.
func (v *validator) text(s scalar) (text string, ok bool) {
	if s.absent() {
		return "", false
	}
	if s.kind != kindText {
		v.fail(s.place, "%s is not text; put it in quotes if it is meant so", s.text)
		return "", false
	}
	return s.text, true
}

// number gives a whole number from lo to hi, or byDefault when it is absent.
func (v *validator) number(s scalar, byDefault, lo, hi uint64) uint64 {
	if s.absent() {
		return byDefault
	}
	n, err := strconv.ParseUint(s.text, 10, 64)
	if s.kind != kindNumber || err != nil || n < lo || n > hi {
		v.fail(s.place, "%q is not a whole number from %d to %d", s.text, lo, hi)
		return byDefault
	}
	return n
}

// boolean gives true or false, or byDefault when it is absent.
func (v *validator) boolean(s scalar, byDefault bool) bool {
	switch {
	case s.absent():
		return byDefault
	case s.kind == kindOther && (s.text == "true" || s.text == "false"):
		return s.text == "true"
	default:
		v.fail(s.place, "%q is not true or false", s.text)
		return byDefault
	}
}

func (v *validator) port(s scalar, byDefault uint16) uint16 {
	return uint16(v.number(s, uint64(byDefault), 1, 65535))
}

// duration gives a duration from one second to the longest allowed, or byDefault when it is absent.
func (v *validator) duration(s scalar, byDefault, longest time.Duration) time.Duration {
	if s.absent() {
		return byDefault
	}
	d, err := time.ParseDuration(s.text)
	if s.kind != kindText || err != nil || d < time.Second || d > longest {
		v.fail(s.place, "%q is not a duration from 1s to %s, with its unit, such as 90s or 1h30m", s.text, short(longest))
		return byDefault
	}
	return d
}

// short writes a duration without its trailing zeros: 1h, not 1h0m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// choice gives one of the allowed words, or the first when it is absent.
func (v *validator) choice(s scalar, allowed ...string) string {
	if s.absent() {
		return allowed[0]
	}
	if s.kind == kindText && slices.Contains(allowed, s.text) {
		return s.text
	}
	v.fail(s.place, "%q is not one of %s", s.text, strings.Join(allowed, ", "))
	return allowed[0]
}

// path gives an absolute path, or "" for none; a relative one is relative to the configuration file's directory.
func (v *validator) path(s scalar) string {
	p, ok := v.text(s)
	switch {
	case !ok || p == "":
		return ""
	case strings.ContainsRune(p, 0):
		v.fail(s.place, "%q is not a path", p)
		return ""
	case filepath.IsAbs(p):
		return filepath.Clean(p)
	default:
		return filepath.Join(v.dir, p)
	}
}

// file is a path that is worth watching.
func (v *validator) file(s scalar) string {
	p := v.path(s)
	if p == "" {
		return ""
	}
	if !slices.Contains(v.files, p) {
		v.files = append(v.files, p)
	}
	return p
}

// atMost refuses a list that is longer than is sane.
func (v *validator) atMost(p place, n, most int) {
	if n > most {
		v.fail(p, "%d entries; at most %d", n, most)
	}
}

// addr gives an address, written as rosters write them.
func (v *validator) addr(s scalar) (netip.Addr, bool) {
	text, ok := v.text(s)
	if !ok {
		return netip.Addr{}, false
	}
	a, err := roster.ParseAddr(text)
	if err != nil {
		v.fail(s.place, "%v", err)
		return netip.Addr{}, false
	}
	return a, true
}

// checkLocal judges an address to dial or listen on: unlike a node's it may be a loopback address.
func checkLocal(a netip.Addr) error {
	switch {
	case a.Zone() != "":
		return fmt.Errorf("%s has a zone; leave it out", a)
	case a.Is4In6():
		return fmt.Errorf("%s is an IPv4 address in IPv6 form; write %s", a, a.Unmap())
	case a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Errorf("%s is not a unicast address", a)
	default:
		return nil
	}
}

// localAddr gives an address of this host to listen on.
func (v *validator) localAddr(s scalar) (netip.Addr, bool) {
	text, ok := v.text(s)
	if !ok {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		v.fail(s.place, "%q is not an IP address (the port is listen.port)", text)
		return netip.Addr{}, false
	}
	if err := checkLocal(a); err != nil {
		v.fail(s.place, "%v", err)
		return netip.Addr{}, false
	}
	if a.IsUnspecified() {
		v.fail(s.place, "%s is every address; name the ones to listen on", a)
		return netip.Addr{}, false
	}
	return a, true
}

// addrPort gives an address and port.
func (v *validator) addrPort(s scalar, text string) (netip.AddrPort, bool) {
	ap, err := netip.ParseAddrPort(text)
	if err != nil || ap.Port() == 0 {
		v.fail(s.place, "%q is not ADDRESS:PORT, such as 127.0.0.1:179 or [::1]:179, with a port from 1 to 65535", s.text)
		return netip.AddrPort{}, false
	}
	if err := checkLocal(ap.Addr()); err != nil {
		v.fail(s.place, "%v", err)
		return netip.AddrPort{}, false
	}
	return ap, true
}

// The widest ranges that make sense for the pods or services of one cluster, in bits. Anything wider is a typing
// mistake that would capture traffic meant for others.
const (
	minBits4 = 8
	minBits6 = 16
)

// prefix gives a masked range of pod or service addresses.
func (v *validator) prefix(s scalar) (netip.Prefix, bool) {
	text, ok := v.text(s)
	if !ok {
		return netip.Prefix{}, false
	}
	p, err := parseRange(text)
	if err != nil {
		v.fail(s.place, "%v", err)
		return netip.Prefix{}, false
	}
	if p != p.Masked() {
		v.fail(s.place, "%s has host bits set; write %s", p, p.Masked())
		return netip.Prefix{}, false
	}
	return p, true
}

// parseRange reads a range of pod or service addresses, host bits allowed.
func parseRange(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not a range in CIDR form, such as 10.1.0.0/16", text)
	}
	least := minBits6
	if p.Addr().Is4() {
		least = minBits4
	}
	a := p.Masked().Addr()
	switch {
	case p.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("%s is an IPv4 range in IPv6 form; write it as IPv4", p)
	case p.Bits() < least:
		return netip.Prefix{}, fmt.Errorf("%s is too wide; at least /%d", p, least)
	case a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast() || a.IsUnspecified():
		return netip.Prefix{}, fmt.Errorf("%s is not a range of unicast addresses that pods or services can have", p)
	default:
		return p, nil
	}
}

// maxRanges bounds a cluster's pod or service ranges; each remote pod range becomes a kernel rule.
const maxRanges = 64

// prefixes gives the ranges of a list.
func (v *validator) prefixes(l list) []netip.Prefix {
	v.atMost(l.place, len(l.items), maxRanges)
	var out []netip.Prefix
	for _, s := range l.items {
		if p, ok := v.prefix(s); ok {
			out = append(out, p)
		}
	}
	return out
}

// distinct refuses a value that is in the list twice; what names the value.
func distinct[T comparable](v *validator, items []scalar, one func(scalar) (T, bool)) []T {
	var out []T
	first := make(map[T]scalar)
	for _, s := range items {
		x, ok := one(s)
		if !ok {
			continue
		}
		if before, again := first[x]; again {
			v.fail(s.place, "%v is already %s (line %d)", x, before.key, before.line)
			continue
		}
		first[x] = s
		out = append(out, x)
	}
	return out
}
