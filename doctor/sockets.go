package doctor

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Socket is one TCP socket of this host.
type Socket struct {
	Local, Remote netip.AddrPort
	Listens       bool // else it is a connection that stands
	Inode         string
	Owner         string // the name of the process that has it, of those asked for; empty: not seen
}

// The states that count (enum in include/net/tcp_states.h).
const (
	tcpEstablished = "01"
	tcpListen      = "0A"
)

// readSockets reads the TCP sockets that listen or are connected (Documentation/networking/proc_net_tcp.rst).
func readSockets(proc fs.FS) ([]Socket, error) {
	var all []Socket
	for _, name := range []string{"net/tcp", "net/tcp6"} {
		b, err := fs.ReadFile(proc, name)
		if errors.Is(err, fs.ErrNotExist) && name == "net/tcp6" {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("sockets cannot be read: %w", err)
		}
		all = append(all, parseSockets(string(b))...)
	}
	return all, nil
}

// parseSockets leaves out what it cannot read: the heading, and nothing else that a kernel writes.
func parseSockets(text string) []Socket {
	var sockets []Socket
	for line := range strings.Lines(text) {
		const local, remote, state, inode = 1, 2, 3, 9
		fields := strings.Fields(line)
		if len(fields) <= inode || fields[state] != tcpEstablished && fields[state] != tcpListen {
			continue
		}
		from, okFrom := socketAddr(fields[local])
		to, okTo := socketAddr(fields[remote])
		if okFrom && okTo {
			sockets = append(sockets, Socket{Local: from, Remote: to, Listens: fields[state] == tcpListen, Inode: fields[inode]})
		}
	}
	return sockets
}

// socketAddr reads "0100007F:00B3": the address in words of the host's byte order, and the port.
func socketAddr(s string) (netip.AddrPort, bool) {
	const word = 4
	address, port, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(address)
	p, portErr := strconv.ParseUint(port, 16, 16)
	if err != nil || portErr != nil || len(b) != word && len(b) != 4*word {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(b); i += word {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	a, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), ok
}

// serves says whether a listening socket takes connections to an address.
func (s Socket) serves(to netip.AddrPort) bool {
	a := s.Local.Addr()
	return s.Listens && s.Local.Port() == to.Port() && (a == to.Addr() || a.IsUnspecified() && (a.Is6() || to.Addr().Is4()))
}

// nameOwners finds the processes that have the sockets of some ports open, as far as this process may see them.
func nameOwners(proc fs.FS, sockets []Socket, ports []uint16) {
	wanted := make(map[string]*Socket)
	for i := range sockets {
		if s := &sockets[i]; s.Listens && slices.Contains(ports, s.Local.Port()) {
			wanted["socket:["+s.Inode+"]"] = s
		}
	}
	if len(wanted) == 0 {
		return
	}
	processes, err := fs.ReadDir(proc, ".")
	if err != nil {
		return
	}
	for _, p := range processes {
		if _, err := strconv.Atoi(p.Name()); err != nil {
			continue
		}
		files, err := fs.ReadDir(proc, p.Name()+"/fd")
		if err != nil {
			continue // it has ended, or is not for us to see
		}
		for _, f := range files {
			link, err := fs.ReadLink(proc, p.Name()+"/fd/"+f.Name())
			if err != nil || wanted[link] == nil {
				continue
			}
			if name, err := fs.ReadFile(proc, p.Name()+"/comm"); err == nil {
				wanted[link].Owner = strings.TrimSpace(string(name))
			}
		}
	}
}
