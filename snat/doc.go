// Package snat reads who changes the source addresses of packets on their way out of this host, and tells whether that
// would befall a given packet: the masquerading that Calico's Felix, kube-proxy, Docker or an administrator have set up, in
// nf_tables (by nft or by iptables-nft), in the older iptables, with the sets of either that rules look addresses up in.
//
// It is the only place that knows the rules of others. It owns nothing and changes nothing: [Read] takes a picture, and
// [Rules.Find] is a pure function of it. A rule that says more than it understands is told as such, never guessed at.
package snat
