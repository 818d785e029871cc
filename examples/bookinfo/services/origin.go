package services

import (
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
)

// Identity is what a service knows of the pod it runs in.
type Identity struct {
	Pod     string
	Cluster string
}

// Origin tells where an answer was made. The names are the pod's own word; the addresses are the connection's.
type Origin struct {
	Pod     string     `json:"podname"`
	Cluster string     `json:"clustername"`
	Address netip.Addr `json:"address"` // the end of the connection that answered: the pod's
	Caller  netip.Addr `json:"caller"`  // the end that asked
}

func (id Identity) origin(r *http.Request) Origin {
	o := Origin{Pod: id.Pod, Cluster: id.Cluster}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		o.Address = local.AddrPort().Addr().Unmap()
	}
	if remote, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		o.Caller = remote.Addr().Unmap()
	}
	return o
}

// answer writes a value as JSON. A client that has gone away is nobody's error.
func answer(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

// healthy answers GET /health, as every service of the original does.
func healthy(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]string{"status": "healthy"})
}
