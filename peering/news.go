package peering

import (
	"net/netip"
	"time"
)

// What comes and goes makes one line a cluster and kind, however much it is: what happens within newsFirst of the first
// change is told together, and the next line follows not before newsEvery.
const (
	newsFirst = time.Second
	newsEvery = 10 * time.Second
)

// news is what happened to the blocks of one cluster and has not been told yet.
type news struct {
	learned, lost, moved tiding
	due                  time.Time // zero: there is nothing to tell
	told                 time.Time // the last time; zero: never
}

// tiding is one kind of news: how many blocks, and the latest of them.
type tiding struct {
	count  int
	prefix netip.Prefix
	hop    netip.Addr // it leads there now, or led there
}

func (t *tiding) add(prefix netip.Prefix, hop netip.Addr) {
	*t = tiding{count: t.count + 1, prefix: prefix, hop: hop}
}

// learn notes what became of a block: where it leads now, and led before; an invalid hop: nowhere.
func (m *Mesh) learn(now time.Time, cluster string, prefix netip.Prefix, hop, before netip.Addr) {
	n := m.news[cluster]
	if n == nil {
		n = &news{}
		m.news[cluster] = n
	}
	switch {
	case !before.IsValid():
		n.learned.add(prefix, hop)
	case !hop.IsValid():
		n.lost.add(prefix, before)
	default:
		n.moved.add(prefix, hop)
	}
	if !n.due.IsZero() {
		return
	}
	n.due = now.Add(newsFirst)
	if next := n.told.Add(newsEvery); next.After(n.due) {
		n.due = next
	}
	if m.nextNews.IsZero() || n.due.Before(m.nextNews) {
		m.nextNews = n.due
	}
}

// tellNews makes events of the news that are due.
func (m *Mesh) tellNews(now time.Time) {
	if m.nextNews.IsZero() || now.Before(m.nextNews) {
		return
	}
	m.nextNews = time.Time{}
	for cluster, n := range m.news {
		switch {
		case n.due.IsZero() && now.Sub(n.told) >= newsEvery:
			delete(m.news, cluster)
		case n.due.IsZero():
		case now.Before(n.due):
			if m.nextNews.IsZero() || n.due.Before(m.nextNews) {
				m.nextNews = n.due
			}
		default:
			n.tell(m, cluster)
			*n = news{told: now}
		}
	}
}

func (n *news) tell(m *Mesh, cluster string) {
	one := func(kind EventKind, t tiding, word string) {
		if t.count > 0 {
			m.event(Event{Kind: kind, Cluster: cluster, Prefix: t.prefix, Count: t.count, Detail: "blocks " + word + " " + t.hop.String()})
		}
	}
	one(EventLearned, n.learned, "learned, the latest at")
	one(EventMoved, n.moved, "moved, the latest at")
	one(EventLost, n.lost, "gone, the latest from")
}
