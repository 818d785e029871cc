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
	now  *loaded
	who  peering.Roster
	last admin.Config
}

func newSettings(path string, l *loaded, roster peering.Roster, at time.Time) *settings {
	return &settings{
		now: l, who: roster,
		last: admin.Config{File: path, LastReloadOK: true, LastReloadAt: at, LastSuccessAt: at},
	}
}

// loaded is the configuration in force with what its files say.
func (s *settings) loaded() *loaded {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *settings) config() *config.Config { return s.loaded().cfg }

func (s *settings) roster() peering.Roster {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.who
}

// setRoster notes that other nodes are in force, the configuration being the same.
func (s *settings) setRoster(r peering.Roster) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.who = r
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
func (s *settings) accept(l *loaded, roster peering.Roster, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now, s.who = l, roster
	s.last.LastReloadOK, s.last.LastReloadAt, s.last.LastSuccessAt, s.last.LastReloadError = true, at, at, ""
}

// refuse notes that a reload failed; what was in force stays.
func (s *settings) refuse(err error, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last.LastReloadOK, s.last.LastReloadAt, s.last.LastReloadError = false, at, err.Error()
}

// unkeyed is the part of the session with BIRD that a running daemon cannot change: a password it can.
func unkeyed(b config.BIRD) config.BIRD {
	b.Password = peering.Password{}
	return b
}

// needsRestart names the keys that differ and that a running daemon cannot change: what its listeners, its sessions with
// the local BIRD, its table and its own blocks rest on.
func needsRestart(old, now *config.Config) []string {
	var keys []string
	for _, k := range []struct {
		key      string
		old, now any
	}{
		{"cluster.name", old.Cluster.Name, now.Cluster.Name},
		{"cluster.podCIDRs", old.Cluster.PodCIDRs, now.Cluster.PodCIDRs},
		{"cluster.asn", old.Cluster.ASN, now.Cluster.ASN},
		{"node", old.Node, now.Node},
		{"bird", unkeyed(old.BIRD), unkeyed(now.BIRD)},
		{"listen", old.Listen, now.Listen},
		{"kernel.table", old.Kernel.Table, now.Kernel.Table},
		{"kernel.protocol", old.Kernel.Protocol, now.Kernel.Protocol},
		{"kernel.rulePriority", old.Kernel.RulePriority, now.Kernel.RulePriority},
		{"kernel.encapsulation", old.Kernel.Encapsulation, now.Kernel.Encapsulation},
		{"kernel.resyncInterval", old.Kernel.ResyncInterval, now.Kernel.ResyncInterval},
		{"kernel.convergenceDeadline", old.Kernel.ConvergenceDeadline, now.Kernel.ConvergenceDeadline},
		{"mesh.withdrawalBrake", old.Mesh.WithdrawalBrake, now.Mesh.WithdrawalBrake},
		{"metrics", old.Metrics, now.Metrics},
		{"admin", old.Admin, now.Admin},
	} {
		if !reflect.DeepEqual(k.old, k.now) {
			keys = append(keys, k.key)
		}
	}
	return keys
}
