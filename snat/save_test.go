package snat

import (
	"net/netip"
	"testing"
)

// sets are those that the rules below name.
func sets(name string) *addrSet {
	members := map[string][]netip.Prefix{"masq": prefixes("10.1.0.0/16"), "all": prefixes("10.1.0.0/16", "20.1.0.0/17")}
	s := &addrSet{name: name}
	if members[name] == nil {
		s.unread = "there is none"
	}
	for _, p := range members[name] {
		s.ranges = append(s.ranges, rangeOf(p))
	}
	return s
}

// Each case is the rules of table nat, and what they do to packets of pods to 20.1.0.0/16 that leave by eth0.
func TestSave(t *testing.T) {
	const (
		kept    = ""
		certain = "certain"
		perhaps = "perhaps"
	)
	for _, c := range []struct{ name, rules, want, to string }{
		{"none", "", kept, ""},
		{"all", "-A POSTROUTING -j MASQUERADE", certain, "20.1.0.0"},
		{"own", "-A POSTROUTING -s 10.1.0.0/16 -j MASQUERADE", certain, "20.1.0.0"},
		{"another's", "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE", kept, ""},
		{"a part of ours", "-A POSTROUTING -s 10.1.64.0/18 -j MASQUERADE", certain, "20.1.0.0"},
		{"a part of theirs", "-A POSTROUTING -d 20.1.7.0/24 -j MASQUERADE", certain, "20.1.7.0"},
		{"all but a part of theirs", "-A POSTROUTING ! -d 20.1.0.0/24 -j MASQUERADE", certain, "20.1.1.0"},
		{"all but theirs", "-A POSTROUTING ! -d 20.1.0.0/16 -j MASQUERADE", kept, ""},
		{"ip-masq-agent", "-A POSTROUTING -m addrtype ! --dst-type LOCAL -j AGENT\n-A AGENT -d 10.0.0.0/8 -j RETURN\n-A AGENT -j MASQUERADE", certain, "20.1.0.0"},
		{"ip-masq-agent that knows", "-A POSTROUTING -m addrtype ! --dst-type LOCAL -j AGENT\n-A AGENT -d 20.0.0.0/8 -j RETURN\n-A AGENT -j MASQUERADE", kept, ""},
		{"sets", "-A POSTROUTING -m set --match-set masq src -m set ! --match-set all dst -j MASQUERADE", certain, "20.1.128.0"},
		{"a set that is not known", "-A POSTROUTING -m set ! --match-set lost dst -j MASQUERADE", perhaps, "20.1.0.0"},
		{"a set of pairs", "-A POSTROUTING -m set --match-set loop dst,dst,src -j MASQUERADE", perhaps, "20.1.0.0"},
		{"the device", "-A POSTROUTING -o eth0 -j SNAT --to-source 9.111.255.21", certain, "20.1.0.0"},
		{"another device", "-A POSTROUTING -o tunl0 -j MASQUERADE", kept, ""},
		{"some devices", "-A POSTROUTING ! -o eth+ -j MASQUERADE", kept, ""},
		{"one protocol", "-A POSTROUTING -p udp -j MASQUERADE --to-ports 1024-65535", certain, "20.1.0.0"},
		{"no protocol is left", "-A POSTROUTING -p tcp -j RETURN\n-A POSTROUTING -p 17 -j RETURN\n-A POSTROUTING ! -p icmp -j MASQUERADE", kept, ""},
		{"accepted before", "-A POSTROUTING -d 20.1.0.0/16 -j ACCEPT\n-A POSTROUTING -j MASQUERADE", kept, ""},
		{"perhaps accepted before", "-A POSTROUTING -m u32 --u32 0x0 -j ACCEPT\n-A POSTROUTING -j MASQUERADE", perhaps, "20.1.0.0"},
		{"perhaps, and then for certain", "-A POSTROUTING -m statistic --mode random -j MASQUERADE\n-A POSTROUTING -j MASQUERADE", certain, "20.1.0.0"},
		{"perhaps logged before", "-A POSTROUTING -m limit --limit 1/sec -j LOG\n-A POSTROUTING -j MASQUERADE", certain, "20.1.0.0"},
		{"a jump that comes back", "-A POSTROUTING -j ONE\n-A POSTROUTING -j MASQUERADE\n-A ONE -d 1.1.1.1/32 -j ACCEPT", certain, "20.1.0.0"},
		{"a goto does not come back", "-A POSTROUTING -g ONE\n-A POSTROUTING -j MASQUERADE\n-A ONE -d 1.1.1.1/32 -j ACCEPT", kept, ""},
		{"a target that nobody knows", "-A POSTROUTING -j BYPASS", kept, ""},
		{"a target that nobody knows before", "-A POSTROUTING -j BYPASS\n-A POSTROUTING -j MASQUERADE", perhaps, "20.1.0.0"},
		{"kube-proxy", "-A POSTROUTING -j KUBE\n-A KUBE -m mark ! --mark 0x4000/0x4000 -j RETURN\n-A KUBE -j MARK --xor-mark 0x4000\n-A KUBE -j MASQUERADE", kept, ""},
		{"a mark that is changed on the way", "-A POSTROUTING -j MARK --set-xmark 0x1/0x1\n-A POSTROUTING -m mark --mark 0x1/0x1 -j MASQUERADE", perhaps, "20.1.0.0"},
		{"Felix's eBPF", "-A POSTROUTING -m mark --mark 0x800000/0x800000 -j MASQUERADE", perhaps, "20.1.0.0"},
		{"comments are words", `-A POSTROUTING -m comment --comment "-j \"MASQUERADE\" -s 1.1.1.1/32" -j MASQUERADE`, certain, "20.1.0.0"},
		{"ranges", "-A POSTROUTING -m iprange --dst-range 20.1.9.9-20.1.9.10 -j MASQUERADE", certain, "20.1.9.9"},
		{"a loop", "-A POSTROUTING -j ONE\n-A ONE -j POSTROUTING", kept, ""},
		{"other chains", "-A OUTPUT -j MASQUERADE\n-A PREROUTING -j ONE\n-A ONE -j MASQUERADE", kept, ""},
		{"what is not an address", "-A POSTROUTING -s nowhere -j MASQUERADE", perhaps, "20.1.0.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := "*filter\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n*nat\n:POSTROUTING ACCEPT [0:0]\n:ONE - [0:0]\n:AGENT - [0:0]\n:KUBE - [0:0]\n" + c.rules + "\nCOMMIT\n"
			r := Rules{tables: []table{parseSave(familyIPv4, text, sets)}}
			found := r.Find(Query{From: prefixes("10.1.0.0/16", "fd01::/64"), To: prefixes("20.1.0.0/16", "fd02::/64"), Devices: []string{"eth0"}})
			got, to := kept, ""
			if len(found) > 0 {
				got, to = perhaps, found[0].To.String()
				if found[0].Certain {
					got = certain
				}
			}
			if got != c.want || to != c.to || len(found) > 1 {
				t.Errorf("%q to %s, want %q to %s: %+v", got, to, c.want, c.to, found)
			}
		})
	}
}

// A device that is not known makes a rule that names one perhaps apply.
func TestDeviceNotKnown(t *testing.T) {
	r := Rules{tables: []table{parseSave(familyIPv4, "*nat\n-A POSTROUTING -o tunl0 -j MASQUERADE\n", sets)}}
	found := r.Find(Query{From: prefixes("10.1.0.0/16"), To: prefixes("20.1.0.0/16")})
	if len(found) != 1 || found[0].Certain || found[0].Look != "iptables-legacy -t nat -S POSTROUTING" {
		t.Errorf("%+v", found)
	}
}

// Whatever iptables-save prints, reading it and following packets ends, and says nothing of packets that are not asked about.
func FuzzSave(f *testing.F) {
	f.Add(felixIPTables)
	f.Add("*nat\n:A - [0:0]\n-A POSTROUTING ! -s 10.0.0.0/8 -g A\n-A A -j POSTROUTING\n-A A -m x --y z -j SNAT\n")
	f.Fuzz(func(t *testing.T, text string) {
		r := Rules{tables: []table{parseSave(familyIPv4, text, sets)}}
		to := prefixes("20.1.0.0/16")
		for _, found := range r.Find(Query{From: prefixes("10.1.0.0/16"), To: to}) {
			if !to[0].Contains(found.To) || found.Chain == "" || found.Where == "" {
				t.Errorf("%+v", found)
			}
		}
	})
}
