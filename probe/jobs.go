package probe

import (
	"container/heap"
	"time"
)

// job is something to be sent to a target, and when. What has been due longest comes first, so that with more to do than
// may be sent everybody waits alike.
type job struct {
	target *target
	search bool // a step of the search for the path MTU; else an echo
	due    time.Time
	index  int // in the heap; -1: not there
}

// jobs is a heap by the time due.
type jobs struct{ list jobHeap }

// first is the job that is due first; nil: there is none.
func (j *jobs) first() *job {
	if len(j.list) == 0 {
		return nil
	}
	return j.list[0]
}

// plan sets when a job is due.
func (j *jobs) plan(one *job, due time.Time) {
	one.due = due
	if one.index < 0 {
		heap.Push(&j.list, one)
		return
	}
	heap.Fix(&j.list, one.index)
}

// drop takes a job out, if it is there.
func (j *jobs) drop(one *job) {
	if one.index >= 0 {
		heap.Remove(&j.list, one.index)
	}
}

type jobHeap []*job

func (h jobHeap) Len() int           { return len(h) }
func (h jobHeap) Less(a, b int) bool { return h[a].due.Before(h[b].due) }

func (h jobHeap) Swap(a, b int) {
	h[a], h[b] = h[b], h[a]
	h[a].index, h[b].index = a, b
}

// Push is for package heap.
func (h *jobHeap) Push(x any) {
	one := x.(*job) //nolint:forcetypeassert // only plan pushes
	one.index = len(*h)
	*h = append(*h, one)
}

// Pop is for package heap.
func (h *jobHeap) Pop() any {
	last := len(*h) - 1
	one := (*h)[last]
	one.index = -1
	(*h)[last] = nil
	*h = (*h)[:last]
	return one
}
