package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"routed/admin"
	"routed/doctor"
	"routed/metrics"
)

func TestHostChecks(t *testing.T) {
	masqueraded := doctor.Check{Name: "masquerade", Result: doctor.Failed, Why: "chain POSTROUTING", Fix: "make an exception"}
	other := masqueraded
	other.Why = "chain KUBE"
	found := []doctor.Check{
		masqueraded, other,
		{Name: "masquerade", Result: doctor.Unknown, Why: "it cannot be read"},
		{Name: "ip-forwarding", Result: doctor.Good, Why: "packets are passed on"},
		{Name: "rp-filter", Result: doctor.Warning},
	}
	var h hostChecks
	if len(h.status()) != 0 || len(h.numbers()) != 0 {
		t.Error("nobody has looked yet")
	}
	at := time.Unix(1000, 0)
	h.set(found, at)
	want := []metrics.HostCheck{{Check: "masquerade", Failed: 2, Unknown: 1}, {Check: "ip-forwarding", Good: 1}, {Check: "rp-filter", Warning: 1}}
	if diff := cmp.Diff(want, h.numbers()); diff != "" {
		t.Error(diff)
	}
	status := h.status()
	if problems := admin.Problems(admin.Status{HostChecks: status}); len(status) != 5 || status[0].Result != admin.CheckFailed ||
		status[2].Result != admin.CheckUnknown || status[3].Result != admin.CheckGood || status[4].Result != admin.CheckWarning ||
		!status[0].At.Equal(at) || problems[0].Code != admin.CodeHostCheck {
		t.Errorf("%+v", status)
	}

	var log bytes.Buffer
	logHostChecks(t.Context(), slog.New(slog.NewTextHandler(&log, nil)), []doctor.Check{masqueraded}, found)
	if s := log.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "level=WARN") || !strings.Contains(s, "chain KUBE") {
		t.Errorf("one has begun: %s", s)
	}
	log.Reset()
	logHostChecks(t.Context(), slog.New(slog.NewTextHandler(&log, nil)), found, []doctor.Check{other})
	if s := log.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "level=INFO") || !strings.Contains(s, "chain POSTROUTING") {
		t.Errorf("one has ended: %s", s)
	}
}
