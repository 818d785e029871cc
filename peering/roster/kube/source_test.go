package kube

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"routed/peering/roster/kube/kubetest"
)

func TestSourceFollowsTheNodes(t *testing.T) {
	for _, proto := range []bool{false, true} {
		t.Run(fmt.Sprintf("protobuf=%v", proto), func(t *testing.T) {
			a := kubetest.Start(t)
			a.Behave(func(how *kubetest.Behaviour) { how.Protobuf = proto })
			a.Put("gyliu-ubuntu-1", "9.111.255.77")
			a.Put("gyliu-ubuntu-2", "9.111.255.155", "fd00::155")
			l := listen(t, target(t, a, ""))
			l.want(t, "9.111.255.77=gyliu-ubuntu-1 9.111.255.155=gyliu-ubuntu-2 fd00::155=gyliu-ubuntu-2")
			watched(t, a)

			a.Put("gyliu-ubuntu-3", "9.111.255.152")
			l.want(t, "9.111.255.77=gyliu-ubuntu-1 9.111.255.152=gyliu-ubuntu-3 9.111.255.155=gyliu-ubuntu-2 fd00::155=gyliu-ubuntu-2")
			a.Put("gyliu-ubuntu-2", "9.111.255.156")
			l.want(t, "9.111.255.77=gyliu-ubuntu-1 9.111.255.152=gyliu-ubuntu-3 9.111.255.156=gyliu-ubuntu-2")
			a.Remove("gyliu-ubuntu-1")
			l.want(t, "9.111.255.152=gyliu-ubuntu-3 9.111.255.156=gyliu-ubuntu-2")
			l.wantStatus(t, "")
		})
	}
}

// watched waits until the API's one watch stands.
func watched(t *testing.T, a *kubetest.API) {
	t.Helper()
	eventually(t, func() error {
		if n := a.Watching(); n != 1 {
			return fmt.Errorf("%d watches", n)
		}
		return nil
	})
}

// A Node says that it is alive every few seconds or minutes: that is no new list.
func TestSourceIsSilentWhileNoAddressChanges(t *testing.T) {
	a := kubetest.Start(t)
	a.Put("n", "9.1.1.1")
	l := listen(t, target(t, a, ""))
	l.want(t, "9.1.1.1=n")
	watched(t, a)
	for range 50 {
		a.Put("n", "9.1.1.1")
	}
	a.Put("m", "9.1.1.2")
	l.want(t, "9.1.1.1=n 9.1.1.2=m")
	if all := l.all(); len(all) != 2 {
		t.Errorf("lists %q, want two", all)
	}
}

func TestSourceAsksForWhatItNeedsOnly(t *testing.T) {
	a := kubetest.Start(t)
	a.PutNode(&corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "in", Labels: map[string]string{"mesh": "yes"}},
		Status:     corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "9.1.1.1"}}},
	})
	a.Put("out", "9.1.1.2")
	l := listen(t, target(t, a, "mesh=yes"))
	l.want(t, "9.1.1.1=in")
	watched(t, a)
	for _, q := range a.Asked() {
		if q.Get("labelSelector") != "mesh=yes" || q.Has("sendInitialEvents") {
			t.Errorf("asked %v", q)
		}
	}
}

// What an outage looks like, one after the other: the list stays, the status says since when and why, and the stream goes
// on by itself.
func TestSourceSurvivesOutages(t *testing.T) {
	a := kubetest.Start(t)
	a.Put("n", "9.1.1.1")
	l := listen(t, target(t, a, ""))
	l.want(t, "9.1.1.1=n")
	misbehave := func(change func(*kubetest.Behaviour)) func() {
		return func() {
			a.Behave(change)
			a.Cut()
		}
	}
	behave := func() { a.Behave(func(how *kubetest.Behaviour) { *how = kubetest.Behaviour{Token: "sesame"} }) }
	for i, outage := range []struct {
		name, trouble string
		begin, end    func()
	}{
		{"stopped", "connect: connection refused", a.Stop, a.Resume},
		{"refuses the token", "Unauthorized", misbehave(func(how *kubetest.Behaviour) { how.Token = "other" }), behave},
		{"broken", "InternalError", misbehave(func(how *kubetest.Behaviour) { how.List, how.Watch = 500, 500 }), behave},
		{"forbids the watch", "watch nodes at", misbehave(func(how *kubetest.Behaviour) { how.Watch = 403 }), behave},
	} {
		l.wantStatus(t, "")
		watched(t, a)
		before := time.Now()
		outage.begin()
		s := l.wantStatus(t, outage.trouble)
		if s.Since.Before(before) || s.LastSuccess.IsZero() || !s.LastSuccess.Before(time.Now()) || s.Failures == 0 {
			t.Errorf("%s: status %+v, it began at %v", outage.name, s, before)
		}
		name := fmt.Sprintf("m%d", i)
		a.Put(name, fmt.Sprintf("9.1.2.%d", i))
		outage.end()
		eventually(t, func() error {
			if all := l.all(); !strings.Contains(all[len(all)-1], name) {
				return fmt.Errorf("%s: lists %q, want %s in the last", outage.name, all, name)
			}
			return nil
		})
	}
	s := l.wantStatus(t, "")
	if now := time.Now().Add(time.Hour); !l.source.Status(now).LastSuccess.Equal(now) || !s.Since.IsZero() {
		t.Errorf("status %+v while a watch stands", s)
	}
	for _, list := range l.all() {
		if !strings.Contains(list, "9.1.1.1=n") {
			t.Errorf("an outage gave the list %q", list)
		}
	}
	if n := strings.Count(l.logged(), "roster-failed"); n < 4 {
		t.Errorf("%d outages in the log, want 4:\n%s", n, l.logged())
	}
}

// One outage is one line in the log, however many attempts it takes.
func TestAnOutageIsToldOnce(t *testing.T) {
	a := kubetest.Start(t)
	a.Put("n", "9.1.1.1")
	l := listen(t, target(t, a, ""))
	l.want(t, "9.1.1.1=n")
	l.wantStatus(t, "")
	a.Stop()
	eventually(t, func() error {
		if s := l.source.Status(time.Now()); s.Failures < 10 {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
	if n := strings.Count(l.logged(), "\n"); n != 1 {
		t.Errorf("%d lines:\n%s", n, l.logged())
	}
	a.Resume()
}

// An API that answers nothing, neither a refusal nor a word, is an outage too.
func TestSourceDoesNotWaitForEver(t *testing.T) {
	a := kubetest.Start(t)
	a.Behave(func(how *kubetest.Behaviour) { how.Silent = true })
	l := listen(t, target(t, a, ""), func(s *Source) { s.client.within = 50 * time.Millisecond })
	l.wantStatus(t, "no answer within 50ms")
	if all := l.all(); len(all) != 0 {
		t.Errorf("lists %q", all)
	}
	a.Put("n", "9.1.1.1")
	a.Behave(func(how *kubetest.Behaviour) { how.Silent = false })
	l.want(t, "9.1.1.1=n")
}

func TestSourceTakesUpAfterItsVersionIsGone(t *testing.T) {
	a := kubetest.Start(t)
	a.Put("n", "9.1.1.1")
	l := listen(t, target(t, a, ""))
	l.want(t, "9.1.1.1=n")
	watched(t, a)
	a.Expire()
	a.Put("m", "9.1.1.2") // told to the watch
	l.want(t, "9.1.1.1=n 9.1.1.2=m")
	a.Expire()
	a.Cut()
	l.wantStatus(t, "")
	a.Put("o", "9.1.1.3")
	l.want(t, "9.1.1.1=n 9.1.1.2=m 9.1.1.3=o")
}

// An API that lost everything says so: what to make of an empty list is not the source's to decide.
func TestSourceGivesAnEmptyList(t *testing.T) {
	a := kubetest.Start(t)
	a.Put("n", "9.1.1.1")
	l := listen(t, target(t, a, ""))
	l.want(t, "9.1.1.1=n")
	watched(t, a)
	a.Forget()
	l.want(t, "")
	a.Put("n", "9.1.1.1")
	l.want(t, "9.1.1.1=n")
}

func TestSourceSurvivesARestartOfTheAPI(t *testing.T) {
	a := kubetest.Start(t)
	a.Put("n", "9.1.1.1")
	l := listen(t, target(t, a, ""))
	l.want(t, "9.1.1.1=n")
	for i := range 10 {
		watched(t, a)
		a.Stop()
		a.Resume()
		a.Put("m", fmt.Sprintf("9.1.2.%d", i))
		l.want(t, fmt.Sprintf("9.1.1.1=n 9.1.2.%d=m", i))
	}
}

func TestInternalIPs(t *testing.T) {
	type a = corev1.NodeAddress
	for _, tc := range []struct {
		name string
		in   []a
		want []string
	}{
		{"none", nil, nil},
		{"no InternalIP", []a{{Type: corev1.NodeExternalIP, Address: "9.1.1.1"}, {Type: corev1.NodeHostName, Address: "9.1.1.2"}}, nil},
		{"both families", []a{{Type: corev1.NodeInternalIP, Address: "fd00::1"}, {Type: corev1.NodeInternalIP, Address: "9.1.1.1"}}, []string{"fd00::1", "9.1.1.1"}},
		{"the first of each", []a{{Type: corev1.NodeInternalIP, Address: "9.1.1.1"}, {Type: corev1.NodeInternalIP, Address: "9.1.1.2"}}, []string{"9.1.1.1"}},
		{
			"the first that can be one",
			[]a{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}, {Type: corev1.NodeInternalIP, Address: "fe80::1"}, {Type: corev1.NodeInternalIP, Address: "x"}, {Type: corev1.NodeInternalIP, Address: "9.1.1.2"}},
			[]string{"9.1.1.2"},
		},
	} {
		got := internalIPs(&corev1.Node{Status: corev1.NodeStatus{Addresses: tc.in}})
		if fmt.Sprint(got) != fmt.Sprint(addrs(t, tc.want...)) {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestList(t *testing.T) {
	a := kubetest.Start(t)
	a.Put("b", "9.1.1.2")
	a.Put("a", "9.1.1.1")
	nodes, err := List(t.Context(), target(t, a, ""))
	if err != nil || text(nodes) != "9.1.1.1=a 9.1.1.2=b" {
		t.Errorf("%v, %v", nodes, err)
	}
	if nodes, err := List(t.Context(), target(t, a, "x=y")); err != nil || len(nodes) != 0 {
		t.Errorf("with a selector that fits none: %v, %v", nodes, err)
	}
	a.Behave(func(how *kubetest.Behaviour) { how.List = http.StatusForbidden })
	if _, err := List(t.Context(), target(t, a, "")); err == nil || !strings.Contains(err.Error(), "list nodes at "+a.URL()) {
		t.Errorf("%v", err)
	}
}
