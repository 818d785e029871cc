package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"slices"
	"testing"
)

const marker = "ffffffffffffffffffffffffffffffff"

func TestMessages(t *testing.T) {
	one := []netip.Prefix{netip.MustParsePrefix("20.1.47.128/26")}
	for name, c := range map[string]struct {
		got  []byte
		want string
	}{
		"OPEN": {
			openMessage(64512, 90, netip.MustParseAddr("192.0.2.1")),
			"002f01" + "04" + "fc00" + "005a" + "c0000201" + "12" + "0210" + "010400010001" + "4002005a" + "41040000fc00",
		},
		"KEEPALIVE":  {message(typeKeepalive, nil), "001304"},
		"End-of-RIB": {endOfRIB(), "00170200000000"},
		"announcement": {
			updateMessages(one, netip.MustParseAddr("192.0.2.1")),
			"003102" + "0000" + "0015" + "40010100" + "400200" + "400304c0000201" + "40050400000064" + "1a14012f80",
		},
		"reflected announcement": {
			reflectedMessages(one, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.9")),
			"003f02" + "0000" + "0023" + "40010100" + "400200" + "400304c0000201" + "40050400000064" + "800904c0000201" + "800a04c0000209" +
				"1a14012f80",
		},
		"withdrawal": {withdrawMessages(one), "001c02" + "0005" + "1a14012f80" + "0000"},
		"nothing":    {updateMessages(nil, netip.MustParseAddr("192.0.2.1")), ""},
	} {
		want := ""
		if c.want != "" {
			want = marker + c.want
		}
		if got := hex.EncodeToString(c.got); got != want {
			t.Errorf("%s:\n%s, want\n%s", name, got, want)
		}
	}
}

// Whatever the number of prefixes, every message is whole and no longer than allowed, and together they hold each once.
func TestPacking(t *testing.T) {
	for _, n := range []int{1, 809, 810, 811, 5000} {
		want := blocks(n)
		stream := bytes.NewReader(updateMessages(want, netip.MustParseAddr("192.0.2.1")))
		var got []netip.Prefix
		for stream.Len() > 0 {
			typ, body, err := readMessage(stream)
			if err != nil || typ != typeUpdate {
				t.Fatalf("%d prefixes: type %d, %v", n, typ, err)
			}
			nlri := body[4+binary.BigEndian.Uint16(body[2:]):]
			for ; len(nlri) >= 5; nlri = nlri[5:] {
				got = append(got, netip.PrefixFrom(netip.AddrFrom4([4]byte(nlri[1:5])), int(nlri[0])))
			}
			if len(nlri) > 0 {
				t.Fatalf("%d prefixes: %d bytes are left", n, len(nlri))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d prefixes: %d arrive", n, len(got))
		}
	}
}

func TestReadMessageRefusesNonsense(t *testing.T) {
	for _, length := range []uint16{0, headerLen - 1, messageMax + 1} {
		m := message(typeKeepalive, nil)
		binary.BigEndian.PutUint16(m[16:], length)
		if _, _, err := readMessage(bytes.NewReader(m)); err == nil {
			t.Errorf("a length of %d is taken", length)
		}
	}
}

func TestBlock(t *testing.T) {
	for i, want := range map[int]string{0: "20.0.0.0/26", 1: "20.0.0.64/26", 4: "20.0.1.0/26", 262143: "20.255.255.192/26"} {
		if got := block(i).String(); got != want {
			t.Errorf("block %d: %s, want %s", i, got, want)
		}
	}
	if maxRoutes+spareBlocks > 1<<18 {
		t.Error("20.0.0.0/8 does not hold them")
	}
}
