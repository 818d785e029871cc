// Package page is the status page: what `routed status` and `routed peers` say, with the mesh as a picture, as one HTML
// document that needs nothing else. It has no script, loads nothing, and says so in its Content-Security-Policy.
//
// Values go in, HTML comes out: [Page] knows nothing of a daemon. [Handler] asks one through a function, under a deadline,
// for a bounded number of readers at a time. Whatever is shown is escaped, since names and reasons come from the network,
// and whatever is listed is bounded, the troubled first. docs/status-page.md describes it for people.
package page
