package bgp

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"routed/peering"

	"golang.org/x/sys/unix"
)

const (
	// optmemFile is net.core.optmem_max: how many bytes of options and keys one socket may hold (socket(7)).
	optmemFile = "/proc/sys/net/core/optmem_max"

	// keySize is at least what the kernel charges for a key: struct tcp_md5sig_key (include/net/tcp.h) has had 132 to 136
	// bytes on 64 bits. 137 and less were measured.
	keySize = 144
	// keyLeast is less than any kernel on 64 bits charges.
	keyLeast = 128
	// optmemStep is what a recommendation is rounded up to, and left free besides.
	optmemStep = 4096
)

// KeyRoom is what the TCP MD5 keys of a set of peers need of net.core.optmem_max, in bytes, and what this host allows.
// Each listening socket holds the keys of all peers of its family.
type KeyRoom struct {
	Keys  int // on one socket
	Least int // with less some keys have no place for sure
	Need  int // with this all have theirs, on any kernel; 0: no key is wanted
	Have  int
}

// NewKeyRoom works it out for a full list of peers. The limit belongs to the network namespace on kernels since 6.8, to
// the host before.
func NewKeyRoom(peers []peering.Peer) (KeyRoom, error) {
	return keyRoom(keysOnOneSocket(slices.Values(peers)))
}

func keyRoom(keys int) (KeyRoom, error) {
	r := KeyRoom{Keys: keys, Least: keys * keyLeast}
	if keys > 0 {
		r.Need = (keys*keySize/optmemStep + 2) * optmemStep
	}
	text, err := os.ReadFile(optmemFile)
	if err != nil {
		return r, err
	}
	if r.Have, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
		return r, fmt.Errorf("%s: %w", optmemFile, err)
	}
	return r, nil
}

// Enough reports whether every key has its place for sure.
func (r KeyRoom) Enough() bool { return r.Have >= r.Need }

// String says what to do where there is not enough.
func (r KeyRoom) String() string {
	return fmt.Sprintf("net.core.optmem_max is %d bytes a socket, and %d TCP MD5 keys need up to %d: sysctl -w net.core.optmem_max=%d",
		r.Have, r.Keys, r.Need, r.Need)
}

// refusalWords explains why the kernel did not take a key and what to do. keys is how many are wanted on one socket.
func refusalWords(err error, keys int) string {
	text := err.Error()
	switch {
	case errors.Is(err, unix.ENOMEM):
		if room, roomErr := keyRoom(keys); roomErr == nil && !room.Enough() {
			return text + "; " + room.String()
		}
		return text + "; raise net.core.optmem_max"
	case errors.Is(err, unix.ENOPROTOOPT), errors.Is(err, unix.EOPNOTSUPP):
		return text + "; this kernel has no TCP MD5 (CONFIG_TCP_MD5SIG)"
	default:
		return text
	}
}
