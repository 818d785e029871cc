package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"routed/config"
	"routed/kernel"
	"routed/peering"
	"routed/peering/roster"
)

// This file judges the lists of nodes that come from the APIs of remote clusters. A list is judged like the rest of the
// configuration, but alone: one that cannot be used costs its cluster the change and nobody else anything.

// errNoNodes is a list that would take every route of a cluster away. An API can answer so while it is being restored,
// or to a selector that fits nothing; a cluster that is gone is taken out of the configuration.
var errNoNodes = errors.New("the API lists no node with an InternalIP of a family this node has; " +
	"a remote cluster has at least one, so the last list stays")

// admit adds each list of more to good that the configuration bears.
func (l *loaded) admit(log *slog.Logger, good, more lists) lists {
	for _, name := range more.names() {
		with := good.with(name, more[name])
		if _, err := l.resolve(with); err != nil {
			log.Warn("a list of nodes from before cannot be used", "event", "roster-refused", "cluster", name, "error", err)
			continue
		}
		good = with
	}
	return good
}

// firstRoster is who the peers are before any API has answered: for a cluster whose nodes come from one, the list that
// a former run kept, and the nodes that this cluster's routes in the kernel lead to. Without them an API that is away
// when the daemon starts would cost its cluster the routes that an earlier run left: nobody in the roster would own them.
func (d *daemon) firstRoster(left []kernel.Route) peering.Roster {
	l := d.settings.loaded()
	kept := d.rosters.known(d.store(l.cfg), l.sources.apis)
	both := lists{}
	for _, remote := range l.cfg.Remotes {
		nodes := roster.Merge(kept[remote.Name], nodesOf(remote, left))
		if l.sources.apis[remote.Name] != nil && len(nodes) > 0 {
			both[remote.Name] = nodes
		}
	}
	d.firstLists = l.admit(d.log, lists{}, both)
	r, err := l.resolve(d.firstLists)
	if err != nil { // the host has changed since the configuration was resolved without a list
		d.log.Error("the first roster is not consistent", "event", "roster-refused", "error", err)
		return d.settings.roster()
	}
	d.settings.setRoster(r)
	return r
}

// nodesOf gives the nodes that routes to the pods of a remote cluster lead to.
func nodesOf(remote config.Remote, routes []kernel.Route) []roster.Node {
	var out []roster.Node
	for _, r := range routes {
		for _, cidr := range remote.PodCIDRs {
			if cidr.Bits() > r.Prefix.Bits() || !cidr.Contains(r.Prefix.Addr()) {
				continue
			}
			if a, err := roster.ParseAddr(r.NextHop.String()); err == nil {
				out = append(out, roster.Node{Addr: a})
			}
		}
	}
	return roster.Merge(out)
}

// takeLists puts what the APIs gave in force, or says why not.
func (d *daemon) takeLists(ctx context.Context) {
	given := d.rosters.given()
	for _, name := range given.names() {
		err := d.takeList(ctx, name, given[name])
		if err == nil || ctx.Err() != nil {
			continue
		}
		if d.rosters.refuse(name, err, time.Now()) {
			d.log.Error("a cluster's new list of nodes is refused, the last one stays", "event", "roster-refused",
				"cluster", name, "error", err)
		}
	}
}

func (d *daemon) takeList(ctx context.Context, name string, nodes []roster.Node) error {
	l := d.settings.loaded()
	if len(ofFamilies(l.cfg, nodes)) == 0 {
		return errNoNodes
	}
	before := d.rosters.inForce()
	if added, removed := difference(before[name], nodes); !slices.Equal(before[name], nodes) { // a name may have changed, too
		r, err := d.presently(ctx, l).resolve(before.with(name, nodes))
		if err != nil {
			return err
		}
		d.rosters.keep(d.store(l.cfg), lists{name: nodes})
		if err := d.loop.do(ctx, func(now time.Time) { d.loop.setRoster(ctx, now, r) }); err != nil {
			return err
		}
		d.settings.setRoster(r)
		d.log.Info("a cluster has other nodes", "event", "roster", "cluster", name, "nodes", len(nodes),
			"added", added, "removed", removed)
	}
	d.rosters.accept(name, nodes)
	return nil
}

// presently is a configuration on the host as it is now.
func (d *daemon) presently(ctx context.Context, l *loaded) *loaded {
	now := *l
	now.host.hops = decidedHops(l.cfg, d.settings.roster())
	if links, err := d.ask.topology(ctx); err == nil { // else as it was: it is about how far away new nodes are, no more
		now.host.links = links
	}
	return &now
}
