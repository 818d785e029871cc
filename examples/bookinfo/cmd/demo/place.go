package main

import (
	"net/netip"
	"slices"

	"routed/lab"
)

const (
	cluster1 = "cluster-1"
	cluster2 = "cluster-2"
	port     = 9080 // of every service, as in the original
)

// pod is one pod of Bookinfo, and what runs in it.
type pod struct {
	name    string
	cluster string
	node    string
	addr    netip.Addr
	args    []string // of the bookinfo program
}

func (p pod) endpoint() string { return netip.AddrPortFrom(p.addr, port).String() }

// bookinfo places the pods as the founding document does: all in cluster-1 but reviews-v3, which has the address of its
// example. gateway is where the ingress gateway listens.
func bookinfo(ratingsIn, gateway string) []pod {
	at := func(name, cluster, node, addr string, args ...string) pod {
		args = append(args, "--pod", name, "--cluster", cluster)
		return pod{name: name, cluster: cluster, node: node, addr: netip.MustParseAddr(addr), args: args}
	}
	ratings := at("ratings-v1", cluster1, "gyliu-icp-3", "10.1.43.10", "ratings")
	if ratingsIn == cluster2 {
		ratings = at("ratings-v1", cluster2, "gyliu-ubuntu-3", "20.1.112.76", "ratings")
	}
	details := at("details-v1", cluster1, "gyliu-icp-2", "10.1.158.202", "details")
	v1 := at("reviews-v1", cluster1, "gyliu-icp-2", "10.1.158.201", "reviews", "--version", "v1")
	v2 := at("reviews-v2", cluster1, "gyliu-icp-3", "10.1.43.9", "reviews", "--version", "v2", "--ratings", ratings.endpoint())
	v3 := at("reviews-v3", cluster2, "gyliu-ubuntu-1", "20.1.47.150", "reviews", "--version", "v3", "--ratings", ratings.endpoint())
	page := at("productpage-v1", cluster1, "gyliu-icp-1", "10.1.198.141", "productpage",
		"--details", details.endpoint(), "--reviews", v1.endpoint()+","+v2.endpoint()+","+v3.endpoint())
	ingress := at("ingressgateway", cluster1, "gyliu-icp-1", "10.1.198.140", "gateway",
		"--listen", "unix:"+gateway, "--productpage", page.endpoint())
	return []pod{ingress, page, details, ratings, v1, v2, v3}
}

// topology is the document's with these pods.
func topology(pods []pod) lab.Topology {
	t := lab.Seed()
	for _, c := range t.Clusters {
		for i := range c.Nodes {
			node := &c.Nodes[i]
			for _, p := range pods {
				if p.node == node.Name && !slices.Contains(node.Pods, p.addr) {
					node.Pods = append(node.Pods, p.addr)
				}
			}
		}
	}
	return t
}

// find is the pod of a name.
func find(pods []pod, name string) pod {
	i := slices.IndexFunc(pods, func(p pod) bool { return p.name == name })
	return pods[i] // the names are this file's own
}
