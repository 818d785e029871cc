package main

import (
	"reflect"
	"sync"
	"time"

	"routed/admin"
	"routed/config"
	"routed/peering"
)

// settings is the configuration in force and how its last reload went. Readers get values; a reload replaces them.
type settings struct {
	mu   sync.Mutex
	cfg  *config.Config
	now  peering.Roster
	last admin.Config
}

func newSettings(path string, cfg *config.Config, roster peering.Roster, at time.Time) *settings {
	return &settings{
		cfg: cfg, now: roster,
		last: admin.Config{File: path, LastReloadOK: true, LastReloadAt: at, LastSuccessAt: at},
	}
}

func (s *settings) config() *config.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg
}

func (s *settings) roster() peering.Roster {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *settings) status() admin.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func (s *settings) hasRemote(name string) bool {
	for _, r := range s.config().Remotes {
		if r.Name == name {
			return true
		}
	}
	return false
}

// accept puts a reloaded configuration in force.
func (s *settings) accept(cfg *config.Config, roster peering.Roster, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg, s.now = cfg, roster
	s.last.LastReloadOK, s.last.LastReloadAt, s.last.LastSuccessAt, s.last.LastReloadError = true, at, at, ""
}

// refuse notes that a reload failed; what was in force stays.
func (s *settings) refuse(err error, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last.LastReloadOK, s.last.LastReloadAt, s.last.LastReloadError = false, at, err.Error()
}

// needsRestart names the keys that differ and that a running daemon cannot change.
func needsRestart(old, now *config.Config) []string {
	var keys []string
	for _, k := range []struct {
		key      string
		old, now any
	}{
		{"cluster.name", old.Cluster.Name, now.Cluster.Name},
		{"cluster.podCIDRs", old.Cluster.PodCIDRs, now.Cluster.PodCIDRs},
		{"cluster.serviceCIDRs", old.Cluster.ServiceCIDRs, now.Cluster.ServiceCIDRs},
		{"cluster.asn", old.Cluster.ASN, now.Cluster.ASN},
		{"node", old.Node, now.Node},
		{"bird", old.BIRD, now.BIRD},
		{"listen", old.Listen, now.Listen},
		{"kernel", old.Kernel, now.Kernel},
		{"mesh", old.Mesh, now.Mesh},
		{"metrics", old.Metrics, now.Metrics},
		{"admin", old.Admin, now.Admin},
	} {
		if !reflect.DeepEqual(k.old, k.now) {
			keys = append(keys, k.key)
		}
	}
	return keys
}
