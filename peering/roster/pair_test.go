package roster

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestPairs(t *testing.T) {
	for _, tc := range []struct {
		name, hosts string
		want        map[string]string // the first address and the other
		err         string
	}{
		{"none", "", map[string]string{}, ""},
		{"by name", "fd00::2 b\n9.1.1.1 a\nfd00::1 a\n9.1.1.2 b\n", map[string]string{"9.1.1.1": "fd00::1", "9.1.1.2": "fd00::2"}, ""},
		{"one address", "9.1.1.1 a\nfd00::2 b\n", map[string]string{"9.1.1.1": "", "fd00::2": ""}, ""},
		{"no names", "9.1.1.1\nfd00::1\nfd00::2\n", map[string]string{"9.1.1.1": "", "fd00::1": "", "fd00::2": ""}, ""},
		{
			"two of IPv4", "9.1.1.1 a\n9.1.1.2 a\nfd00::1 a\n", nil,
			"a has the addresses 9.1.1.1, 9.1.1.2, fd00::1; one name is one node, with at most one address of each family",
		},
		{
			"two of IPv6", "9.1.1.1 a\nfd00::2 a\nfd00::1 a\n", nil,
			"a has the addresses 9.1.1.1, fd00::1, fd00::2; one name is one node, with at most one address of each family",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			nodes, err := Parse("hosts", []byte(tc.hosts))
			if err != nil {
				t.Fatal(err)
			}
			pairs, err := Pairs(nodes)
			if tc.err != "" {
				if err == nil || err.Error() != tc.err {
					t.Errorf("got  %v\nwant %s", err, tc.err)
				}
				return
			}
			got := map[string]string{}
			for _, p := range pairs {
				got[p.Addr.String()] = ""
				if p.Other.IsValid() {
					got[p.Addr.String()] = p.Other.String()
				}
			}
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" || err != nil {
				t.Error(err, diff)
			}
		})
	}
}
