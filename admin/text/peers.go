package text

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"routed/admin"
)

// Peers writes every BGP session, a line each, and under it why it is down and what was refused.
func Peers(out io.Writer, p admin.Peers, o Options) error {
	w := bufio.NewWriter(out)
	t := table{head: heads("+CLUSTER", "+NODE", "+ADDRESS", "STATE", "SINCE", ">ACC", ">REJ", ">ADV", ">FLAPS")}
	for _, peer := range sorted(p.Peers) {
		sum := peer.PrefixSum()
		r := t.add(
			cell{text: peer.Cluster},
			cell{text: nodeName(peer)},
			cell{text: peer.Address.String()},
			cell{text: peer.State, style: goodIf(peer.Up)},
			cell{text: since(p.At, peer.Since)},
			cell{text: strconv.Itoa(sum.Accepted), right: true},
			cell{text: strconv.Itoa(sum.Rejected), right: true, style: warnIf(sum.Rejected)},
			cell{text: strconv.Itoa(peer.Advertised), right: true},
			cell{text: strconv.FormatUint(peer.Flaps, 10), right: true, style: warnIf(peer.Flaps)},
		)
		notes(r, p, peer)
	}
	t.write(w, o, "")
	return w.Flush()
}

// sorted has the local BIRD first, then by cluster and address.
func sorted(peers []admin.Peer) []admin.Peer {
	return slices.SortedFunc(slices.Values(peers), func(a, b admin.Peer) int {
		return cmp.Or(strings.Compare(a.Role, b.Role), strings.Compare(a.Cluster, b.Cluster), a.Address.Compare(b.Address))
	})
}

func nodeName(p admin.Peer) string {
	if p.Role == "bird" {
		return "(BIRD)"
	}
	return cmp.Or(p.Name, "-")
}

func notes(r *row, all admin.Peers, p admin.Peer) {
	if !p.Up && p.DownReason != "" {
		r.note(bad, "down: "+p.DownReason)
	}
	if len(p.Rejected) == 0 {
		return
	}
	counts := make([]string, 0, len(p.Rejected))
	for _, c := range p.Rejected {
		counts = append(counts, fmt.Sprintf("%s %d", c.Name, c.Count))
	}
	r.note(warn, "rejected so far: "+strings.Join(counts, ", "))
	for _, j := range p.LastRejected {
		text := j.Prefix.String()
		if j.NextHop.IsValid() {
			text += " via " + j.NextHop.String()
		}
		r.note(faint, fmt.Sprintf("%s, %s: %s", text, ago(all.At, j.At), j.Detail))
	}
}
