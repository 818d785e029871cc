package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"routed/peering/roster"
	"routed/peering/roster/kube"
)

// askWithin bounds what check waits for the APIs, all together.
const askWithin = 10 * time.Second

// apiAnswers is what the APIs said, by the remote's name.
type apiAnswers map[string]apiAnswer

type apiAnswer struct {
	target *kube.Target
	nodes  []roster.Node
	err    error
}

// askAPIs asks every API for its nodes, once.
func askAPIs(ctx context.Context, apis map[string]*kube.Target) apiAnswers {
	ctx, cancel := context.WithTimeoutCause(ctx, askWithin, fmt.Errorf("no answer within %s", askWithin))
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	out := apiAnswers{}
	for name, target := range apis {
		wg.Go(func() {
			nodes, err := kube.List(ctx, target)
			if err == nil && len(nodes) == 0 {
				err = errNoNodes
			}
			mu.Lock()
			defer mu.Unlock()
			out[name] = apiAnswer{target: target, nodes: nodes, err: err}
		})
	}
	wg.Wait()
	return out
}

func (a apiAnswers) lists() lists {
	out := lists{}
	for name, answer := range a {
		out[name] = answer.nodes
	}
	return out
}

// meaning says in words what the API answered.
func (a apiAnswer) meaning() string {
	unverified := ""
	if a.target.Unverified() {
		unverified = " (whose certificate the kubeconfig says not to verify)"
	}
	if a.err != nil {
		return fmt.Sprintf("%v%s; a running daemon goes on with the last list it had, and tries again", a.err, unverified)
	}
	return fmt.Sprintf("%s%s lists %d addresses of nodes", a.target.Server(), unverified, len(a.nodes))
}
