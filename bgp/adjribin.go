package bgp

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"sync"
	"unsafe"

	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"
)

// adjRIBs is the way to GoBGP's Adj-RIB-In of each peer. We have no use for them: the watcher has seen every path when it
// is stored, and the mesh keeps what it believes. Each takes 205 KB a family when it is empty, a map in 2,048 shards, and 400
// bytes a path. GoBGP has no setting for that, but it passes by a family for which a peer has no table. So the tables are
// taken out, of its private memory; that this looks as in v4.8.0 is checked at the start, and another version shows itself
// in the first test. See docs/design/gobgp.md.
type adjRIBs struct {
	mu    *sync.RWMutex // GoBGP's own: locked while it manages peers, read-locked while it handles what one sent
	peers reflect.Value // map[netip.Addr]*peer
}

var errOtherGoBGP = errors.New("GoBGP's Adj-RIB-In is not where v4.8.0 has it")

// findAdjRIBs checks that the server is built as expected.
func findAdjRIBs(srv *server.BgpServer) (adjRIBs, error) {
	s := reflect.ValueOf(srv).Elem()
	shared, peers := s.FieldByName("shared"), s.FieldByName("neighborMap")
	if !pointsToStruct(shared) || !peers.IsValid() || peers.Kind() != reflect.Map || peers.Type().Key() != reflect.TypeFor[netip.Addr]() {
		return adjRIBs{}, errOtherGoBGP
	}
	mu := shared.Elem().FieldByName("mu")
	if !mu.IsValid() || mu.Type() != reflect.TypeFor[sync.RWMutex]() {
		return adjRIBs{}, errOtherGoBGP
	}
	return adjRIBs{mu: (*sync.RWMutex)(unsafe.Pointer(mu.UnsafeAddr())), peers: peers}, nil
}

// drop takes the tables of a peer away. A session that is lost gets new ones; see attend.
func (a adjRIBs) drop(addr netip.Addr) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	tables, err := a.tables(addr)
	if err != nil {
		return fmt.Errorf("peer %s: %w", addr, err)
	}
	tables.Clear()
	return nil
}

// tables is the map of a peer's tables by family. The caller holds mu.
func (a adjRIBs) tables(addr netip.Addr) (reflect.Value, error) {
	peer := a.peers.MapIndex(reflect.ValueOf(addr))
	if !pointsToStruct(peer) {
		return reflect.Value{}, errOtherGoBGP
	}
	rib := peer.Elem().FieldByName("adjRibIn")
	if !pointsToStruct(rib) {
		return reflect.Value{}, errOtherGoBGP
	}
	t := rib.Elem().FieldByName("table")
	if !t.IsValid() || t.Kind() != reflect.Map || t.Type().Key() != reflect.TypeFor[bgp.Family]() {
		return reflect.Value{}, errOtherGoBGP
	}
	return reflect.NewAt(t.Type(), unsafe.Pointer(t.UnsafeAddr())).Elem(), nil
}

func pointsToStruct(v reflect.Value) bool {
	return v.IsValid() && v.Kind() == reflect.Pointer && !v.IsNil() && v.Elem().Kind() == reflect.Struct
}
