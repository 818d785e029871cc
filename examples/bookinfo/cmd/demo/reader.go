package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"routed/examples/bookinfo/services"
)

// readTimeout is how long a reader waits for a page.
const readTimeout = 5 * time.Second

// reader opens the page as somebody outside does, through the ingress gateway.
type reader struct{ client *http.Client }

// newReader reads through the gateway's socket.
func newReader(socket string) reader {
	return reader{&http.Client{Timeout: readTimeout, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}}
}

// sight is what a reader sees on one page.
type sight struct {
	version  string // of the reviews; empty: they are unavailable
	reviews  end
	stars    string // "red", "black", or none
	starless bool   // there should be some, and ratings did not answer
	ratings  end    // who told the stars
	asker    netip.Addr
}

// end is a pod as the page names it.
type end struct {
	pod, cluster string
	addr         netip.Addr
}

var (
	errNotAPage   = errors.New("this is not the product page")
	reviewsServed = regexp.MustCompile(`Reviews (v\d) served by (\S+) at (\S+) in ([\w-]+)`)
	starsServed   = regexp.MustCompile(`Stars served by (\S+) at (\S+) in ([\w-]+), asked by ([\da-f.:]+)`)
	starsSeen     = regexp.MustCompile(`class="stars (\w+)"[^>]*>(★+)<`)
)

// open loads the page once.
func (r reader) open(ctx context.Context) (sight, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://bookinfo/productpage", http.NoBody)
	if err != nil {
		return sight{}, err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return sight{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return sight{}, err
	}
	if resp.StatusCode != http.StatusOK {
		return sight{}, fmt.Errorf("the product page: %s: %s", resp.Status, strings.TrimSpace(string(body)))
	}
	return look(string(body))
}

// look finds on the page what a person would.
func look(page string) (sight, error) {
	if strings.Contains(page, services.NoReviews) {
		return sight{}, nil
	}
	m := reviewsServed.FindStringSubmatch(page)
	if m == nil {
		return sight{}, errNotAPage
	}
	s := sight{version: m[1], starless: strings.Contains(page, services.NoRatings)}
	var err error
	if s.reviews, err = parseEnd(m[2], m[3], m[4]); err != nil {
		return sight{}, err
	}
	if m := starsSeen.FindStringSubmatch(page); m != nil {
		s.stars = m[1]
	}
	if m := starsServed.FindStringSubmatch(page); m != nil {
		if s.ratings, err = parseEnd(m[1], m[2], m[3]); err != nil {
			return sight{}, err
		}
		if s.asker, err = netip.ParseAddr(m[4]); err != nil {
			return sight{}, err
		}
	}
	return s, nil
}

func parseEnd(pod, addr, cluster string) (end, error) {
	a, err := netip.ParseAddr(addr)
	return end{pod: pod, cluster: cluster, addr: a}, err
}
