package main

import (
	"cmp"
	"context"
	"net/netip"
	"time"

	"routed/admin"
	"routed/config"
	"routed/doctor"
	"routed/kernel"
	"routed/peering"
	"routed/why"
)

// Why answers GET /v1/why.
func (d *daemon) Why(ctx context.Context, address netip.Addr) (admin.Why, error) {
	f := why.Facts{At: time.Now(), Address: address, Config: d.settings.config()}
	err := d.loop.do(ctx, func(time.Time) {
		f.Mesh, f.Clusters = d.loop.mesh.Address(address), d.loop.mesh.Status().Clusters
	})
	if err != nil {
		return admin.Why{}, err
	}
	d.fillReasons(f.Clusters)
	d.survey(ctx, f.Config, &f)
	return why.Explain(f), nil
}

// survey adds what the kernel and the doctor say.
func (d *daemon) survey(ctx context.Context, cfg *config.Config, f *why.Facts) {
	owned := kernelConfig(cfg, nil, nil)
	var want kernel.Route
	if len(f.Mesh.Routes) > 0 {
		r := f.Mesh.Routes[0]
		want = kernel.Route{Prefix: r.Prefix, NextHop: r.NextHop, Group: r.Cluster}
	}
	if t, probed := d.prober.Target(want.NextHop); probed {
		f.Probe, f.PodMTU = &t, d.prober.PodMTU()
	}
	f.Kernel, f.KernelErr = kernel.SurveyPath(ctx, owned, d.netlink, f.Address, want, cfg.RemotePodCIDRs())
	if !want.NextHop.IsValid() {
		return
	}
	if f.Kernel.Wanted.State != kernel.StateInstalled {
		r, _ := d.reconciler.Route(want.Prefix)
		f.Failure = r.Err
	}
	f.Findings = doctor.ExaminePath(doctor.LookOnPath(ctx, doctorSources(cfg, d.netlink), f.Address, f.Kernel, f.KernelErr))
}

// fillReasons says why sessions are down, where the speaker knows better than the mesh.
func (d *daemon) fillReasons(clusters []peering.ClusterStatus) {
	sessions := sessionsByPeer(d.speaker.Status())
	for _, c := range clusters {
		for i, p := range c.Peers {
			c.Peers[i].Reason = cmp.Or(sessions[p.Peer.Addr].LastError, p.Reason)
		}
	}
}
