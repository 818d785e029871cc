// Package services is Bookinfo, the sample application of Istio, as four small HTTP services: details, ratings, reviews
// in three versions, and the product page that shows them, with an ingress gateway before it.
//
// They speak the paths and the JSON of the original. Each of them calls another by the addresses of its pods, in turn, as
// a proxy does that has been given the endpoints of a service in two clusters. Every answer tells the two ends of the
// connection that it was asked on, so that a reader sees which pod answered whom, and that nothing in between has
// rewritten an address.
package services
