package services

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"
)

// How long a caller waits for an answer, the connection included. Who calls a caller waits longer than that one does. The
// original waits some seconds.
const (
	PageTimeout    = time.Second            // the product page, for details and for reviews
	RatingsTimeout = 500 * time.Millisecond // reviews, for ratings
	GatewayTimeout = 5 * time.Second        // the gateway, for the product page
)

const maxAnswer = 1 << 20 // bytes

// Endpoints are the pods that answer for a service, wherever they are. They are asked in turn, as Envoy does it with
// ROUND_ROBIN; a pod that does not answer keeps its turn, since nobody has told us that it is gone.
type Endpoints struct {
	service string
	pods    []netip.AddrPort
	turn    atomic.Uint64
	client  *http.Client
}

// NewEndpoints makes the endpoints of a service out of a comma-separated list of ADDRESS:PORT.
func NewEndpoints(service, list string, timeout time.Duration) (*Endpoints, error) {
	e := &Endpoints{service: service, client: &http.Client{Timeout: timeout}}
	for one := range strings.SplitSeq(list, ",") {
		pod, err := netip.ParseAddrPort(strings.TrimSpace(one))
		if err != nil {
			return nil, fmt.Errorf("endpoints of %s: %q is not ADDRESS:PORT: %w", service, one, err)
		}
		e.pods = append(e.pods, pod)
	}
	return e, nil
}

// next is the pod whose turn it is.
func (e *Endpoints) next() netip.AddrPort {
	return e.pods[(e.turn.Add(1)-1)%uint64(len(e.pods))]
}

var errTooLong = errors.New("the answer is longer than 1 MiB")

// get asks the next pod for a path and decodes its JSON.
func (e *Endpoints) get(ctx context.Context, path string, into any) error {
	pod := e.next()
	fail := func(err error) error { return fmt.Errorf("%s at %s: %w", e.service, pod, err) }
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+pod.String()+path, http.NoBody)
	if err != nil {
		return fail(err)
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return fail(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fail(err)
	case len(body) > maxAnswer:
		return fail(errTooLong)
	case resp.StatusCode != http.StatusOK:
		return fail(fmt.Errorf("status %s", resp.Status))
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fail(err)
	}
	return nil
}
