package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
)

// A thousand sessions that flap are two hundred lines in ten seconds, and one that tells how many there were; what else
// happens is told beside.
func TestLogOfAFlappingMesh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		var mu sync.Mutex
		bound, err := newLogger(locked{&mu, &out}, "json", zap.NewAtomicLevelAt(zap.InfoLevel))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			bound.run(ctx)
			close(done)
		}()
		log := slog.New(bound)
		for i := range 1000 {
			log.Warn("hold timer expired", "event", "session-down", "count", i)
			log.With("event", "session-up").Info("ipv4")
		}
		log.Info("ipv4", "event", "mesh-converged")
		<-time.After(boundWindow + time.Second)
		synctest.Wait()
		log.Warn("hold timer expired", "event", "session-down")
		cancel()
		<-done
		count, left := map[string]int{}, map[string]float64{}
		for line := range bytes.Lines(out.Bytes()) {
			var l map[string]any
			if err := json.Unmarshal(line, &l); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			event, _ := l["event"].(string)
			count[event]++
			if event == "log-bounded" {
				of, _ := l["of"].(string)
				left[of], _ = l["count"].(float64)
			}
		}
		if count["session-down"] != boundLines+1 || count["session-up"] != boundLines || count["mesh-converged"] != 1 ||
			left["session-down"] != 1000-boundLines || left["session-up"] != 1000-boundLines || len(left) != 2 {
			t.Errorf("lines %v, left out %v", count, left)
		}
	})
}

// locked is a buffer for several goroutines.
type locked struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}
