// Package probe asks the nodes of other clusters, and addresses in their blocks, whether they answer: an ICMP echo now
// and then (RFC 792, RFC 4443), and rarely a search for the path MTU with echoes that may not be fragmented.
//
// It owns one raw ICMP socket a family, however many targets there are, and one schedule that bounds the packets sent in
// a second. What it finds is a picture for people and alerts: no route depends on it. It takes for an answer only what
// matches a probe that is under way, by identifier, sequence number, address and a number that only that probe carried.
//
// It imports no other room. Why it is built like this: docs/design/probes.md.
package probe
