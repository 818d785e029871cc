// Package guard is the only place that knows nf_tables: it keeps a table of packet filter rules in front of the BGP
// port, so that the kernel drops what the speaker should never see, and puts back what others take away.
//
// It owns the table `routed` of family inet and nothing else. It refuses to touch any other table, and a table of that
// name that somebody else made. It filters the BGP port alone: every other packet passes as if it were not there. It
// knows nothing of BGP, clusters or routes.
package guard
