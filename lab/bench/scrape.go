package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"time"
)

// page is something that routed is asked for while it works.
type page struct {
	name   string
	client *http.Client
	url    string
	events int // how often an answer is measured, of 100
}

// pages are those that people, scripts and Prometheus ask for.
func pages(r *rig) []page {
	scraper := &http.Client{Transport: &http.Transport{
		DisableCompression: true,
		DialContext: func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
			err = r.ns.Do(func() (err error) {
				conn, err = new(net.Dialer).DialContext(ctx, network, addr)
				return err
			})
			return conn, err
		},
	}}
	people := &http.Client{Transport: &http.Transport{
		DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(r.dir, "routed.sock"))
		},
	}}
	return []page{
		{"/metrics", scraper, "http://127.0.0.1:9790/metrics", 100},
		{"routed status", people, "http://routed/v1/status", 50},
		{"routed peers", people, "http://routed/v1/peers", 50},
		{"routed why", people, "http://routed/v1/why?address=" + block(0).Addr().Next().String(), 50},
		{"routed routes", people, "http://routed/v1/routes", 10},
	}
}

// get asks for the page once and returns how long that took.
func (p page) get(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, eventLimit)
	defer cancel()
	began := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return 0, err
	}
	answer, err := p.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: %s", p.url, answer.Status)
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return time.Since(began), err
}

// scrapes measures what it costs to look on: how long answers take, and repairs meanwhile, with as many sessions as are
// asked for and all routes.
func (b *bench) scrapes(ctx context.Context) error {
	i := slices.IndexFunc(b.competitors, func(c competitor) bool { return c.id == "routed" })
	if i < 0 {
		return errors.New("routed is not among those to be measured")
	}
	n := slices.Max(b.sessions)
	each := b.routes / n
	return b.withRig(ctx, b.competitors[i], manyNodes(n), func(r *rig) error {
		if err := r.count(); err != nil {
			return err
		}
		ns, err := startNodes(ctx, r, func(i int) []byte {
			return append(updateMessages(nodeBlocks(i, each), nodeAddr(i)), endOfRIB()...)
		})
		if err != nil {
			return err
		}
		return errors.Join(b.lookOn(ctx, r, n*each), r.alive(), ns.close())
	})
}

// lookOn starts the daemon, waits for every route, and then asks.
func (b *bench) lookOn(ctx context.Context, r *rig, size int) error {
	starting, cancel := context.WithTimeout(ctx, manyLimit)
	defer cancel()
	if err := r.launch(starting); err != nil {
		return err
	}
	if _, err := r.counter.until(starting, "all routes", func(count int) bool { return count >= size }); err != nil {
		return err
	}
	if _, err := r.restful(starting); err != nil {
		return err
	}
	b.say("%s holds %s routes", r.name, thousands(size))
	m, err := startMonitor(ctx, r.ns)
	if err != nil {
		return err
	}
	for _, p := range pages(r) {
		if err = errors.Join(b.answers(ctx, r, p, size), b.repairsBeside(ctx, r, m, p, size)); err != nil {
			break
		}
		p.client.CloseIdleConnections()
	}
	return errors.Join(err, m.close())
}

// answers measures how long answers take.
func (b *bench) answers(ctx context.Context, r *rig, p page, size int) error {
	what := metricAnswer(p.name, b.routes)
	for range max(b.events*p.events/100, 1) {
		took, err := p.get(ctx)
		if err != nil {
			return err
		}
		b.results.add(what, r.id, inMs(took))
		if err := pause(ctx, between); err != nil {
			return err
		}
	}
	of := b.results.of(what, r.id)
	b.say("%s: %s with %s routes: %.2f ms, 99th percentile %.2f ms", r.name, what.what, thousands(size), of.median(), of.quantile(0.99))
	return nil
}

// repairsBeside measures repairs while nobody asks, and while somebody does all the time.
func (b *bench) repairsBeside(ctx context.Context, r *rig, m *monitor, p page, size int) error {
	repeat := max(b.events/5, 1)
	quiet, asked := metricRepairQuiet(p.name, b.routes), metricRepairAsked(p.name, b.routes)
	if err := b.repairSome(ctx, r, m, quiet, size, repeat); err != nil {
		return err
	}
	asking, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		for {
			if _, err := p.get(asking); err != nil {
				if asking.Err() != nil {
					err = nil
				}
				done <- err
				return
			}
		}
	}()
	err := b.repairSome(ctx, r, m, asked, size, repeat)
	stop()
	return errors.Join(err, <-done)
}
