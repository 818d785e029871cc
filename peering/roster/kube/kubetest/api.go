package kubetest

import (
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	"k8s.io/apimachinery/pkg/watch"
	restwatch "k8s.io/client-go/rest/watch"
)

// API is an API server that knows nodes.
type API struct {
	tb     testing.TB
	codecs serializer.CodecFactory
	server *httptest.Server
	addr   string // keeps over a Restart

	mu       sync.Mutex
	how      Behaviour
	version  int
	nodes    map[string]*corev1.Node
	history  []change
	gone     int // versions below are too old to watch from
	watchers map[*watcher]bool
	asked    []url.Values
}

// Behaviour is how an API answers.
type Behaviour struct {
	Token       string // what a client must show
	Protobuf    bool   // not JSON
	List, Watch int    // answer lists, or watches, with this HTTP status; 0: as it should
	Silent      bool   // answer nothing at all
}

// change is an event and the version it made.
type change struct {
	version int
	event   watch.Event
}

type watcher struct {
	events chan watch.Event
	cut    chan struct{} // closed: end the connection in the middle
	labels labels.Selector
}

// Start starts an API on loopback that answers as it should, to the token "sesame", until the test ends.
func Start(tb testing.TB) *API {
	tb.Helper()
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(corev1.SchemeGroupVersion, &corev1.Node{}, &corev1.NodeList{})
	metav1.AddToGroupVersion(scheme, corev1.SchemeGroupVersion)
	a := &API{
		tb: tb, codecs: serializer.NewCodecFactory(scheme), how: Behaviour{Token: "sesame"}, version: 100,
		nodes: map[string]*corev1.Node{}, watchers: map[*watcher]bool{},
	}
	a.listen("127.0.0.1:0")
	tb.Cleanup(a.Stop)
	return a
}

// Resume listens again after Stop, on the same address.
func (a *API) Resume() {
	a.tb.Helper()
	a.listen(a.addr)
}

func (a *API) listen(addr string) {
	a.tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(a.tb.Context(), "tcp", addr)
	if err != nil {
		a.tb.Fatal(err)
	}
	a.server = httptest.NewUnstartedServer(http.HandlerFunc(a.serve))
	a.server.Listener.Close()
	a.server.Listener = l
	a.server.StartTLS()
	a.addr = l.Addr().String()
}

// Stop drops every connection and listens no more.
func (a *API) Stop() {
	a.Cut()
	a.server.CloseClientConnections()
	a.server.Close()
}

// Behave changes how the API answers from now on.
func (a *API) Behave(change func(how *Behaviour)) { a.locked(func() { change(&a.how) }) }

func (a *API) locked(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}

// Cut ends every watch without a word.
func (a *API) Cut() {
	a.locked(func() {
		for w := range a.watchers {
			close(w.cut)
			delete(a.watchers, w)
		}
	})
}

// Put adds or changes a node with InternalIPs.
func (a *API) Put(name string, addrs ...string) {
	var status []corev1.NodeAddress
	for _, addr := range addrs {
		status = append(status, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: addr})
	}
	a.PutNode(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Addresses: status}})
}

// PutNode adds or changes a node.
func (a *API) PutNode(n *corev1.Node) {
	a.locked(func() {
		kind := watch.Modified
		if a.nodes[n.Name] == nil {
			kind = watch.Added
		}
		a.version++
		n.ResourceVersion = strconv.Itoa(a.version)
		a.nodes[n.Name] = n
		a.tell(watch.Event{Type: kind, Object: n.DeepCopy()})
	})
}

// Remove deletes a node.
func (a *API) Remove(name string) {
	a.locked(func() {
		n := a.nodes[name].DeepCopy()
		delete(a.nodes, name)
		a.version++
		n.ResourceVersion = strconv.Itoa(a.version)
		a.tell(watch.Event{Type: watch.Deleted, Object: n})
	})
}

// Expire makes every version up to now too old to watch from; watches that stand go on.
func (a *API) Expire() {
	a.locked(func() {
		a.version += 10
		a.gone = a.version
	})
}

// Forget loses every node without an event, as an API whose storage was restored from nothing; watches end.
func (a *API) Forget() {
	a.locked(func() {
		clear(a.nodes)
		a.version++
		a.gone = a.version
	})
	a.Cut()
}

// tell tells every watch, and those that will begin at an earlier version.
func (a *API) tell(e watch.Event) {
	a.history = append(a.history, change{a.version, e})
	for w := range a.watchers {
		w.events <- e
	}
}

// Watching is how many watches stand.
func (a *API) Watching() (n int) {
	a.locked(func() { n = len(a.watchers) })
	return n
}

// Asked is what lists and watches asked for.
func (a *API) Asked() (queries []url.Values) {
	a.locked(func() { queries = append(queries, a.asked...) })
	return queries
}

// URL is where the API is.
func (a *API) URL() string { return "https://" + a.addr }

// Certificate is what its clients must trust, in PEM.
func (a *API) Certificate() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.server.Certificate().Raw}))
}

// serve answers GET /api/v1/nodes.
func (a *API) serve(w http.ResponseWriter, r *http.Request) {
	var how Behaviour
	a.locked(func() {
		a.asked = append(a.asked, r.URL.Query())
		how = a.how
	})
	watched := r.URL.Query().Get("watch") == "true"
	status, answer := how.List, a.serveList
	if watched {
		status, answer = how.Watch, a.serveWatch
	}
	switch {
	case how.Silent:
		<-r.Context().Done()
	case r.Method != http.MethodGet || r.URL.Path != "/api/v1/nodes":
		a.refuse(w, http.StatusForbidden, metav1.StatusReasonForbidden)
	case r.Header.Get("Authorization") != "Bearer "+how.Token:
		a.refuse(w, http.StatusUnauthorized, metav1.StatusReasonUnauthorized)
	case status != 0:
		a.refuse(w, status, metav1.StatusReasonInternalError)
	default:
		answer(w, r, mediaType(how.Protobuf))
	}
}

func mediaType(proto bool) string {
	if proto {
		return runtime.ContentTypeProtobuf
	}
	return runtime.ContentTypeJSON
}

func (a *API) refuse(w http.ResponseWriter, status int, reason metav1.StatusReason) {
	w.Header().Set("Content-Type", runtime.ContentTypeJSON)
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"message":%q,"code":%d}`, reason, reason, status)
}

func (a *API) selector(r *http.Request) labels.Selector {
	s, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		a.tb.Error(err)
	}
	return s
}

func (a *API) serveList(w http.ResponseWriter, r *http.Request, media string) {
	out := &corev1.NodeList{}
	selector := a.selector(r)
	a.locked(func() {
		out.ResourceVersion = strconv.Itoa(a.version)
		for _, n := range a.nodes {
			if selector.Matches(labels.Set(n.Labels)) {
				out.Items = append(out.Items, *n.DeepCopy())
			}
		}
	})
	info, _ := runtime.SerializerInfoForMediaType(a.codecs.SupportedMediaTypes(), media)
	w.Header().Set("Content-Type", media)
	if err := a.codecs.EncoderForVersion(info.Serializer, corev1.SchemeGroupVersion).Encode(out, w); err != nil {
		a.tb.Error(err)
	}
}

func (a *API) serveWatch(w http.ResponseWriter, r *http.Request, media string) {
	me := &watcher{events: make(chan watch.Event, 1000), cut: make(chan struct{}), labels: a.selector(r)}
	from, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	info, _ := runtime.SerializerInfoForMediaType(a.codecs.SupportedMediaTypes(), media)
	w.Header().Set("Content-Type", media+map[bool]string{true: ";stream=watch"}[media == runtime.ContentTypeProtobuf])
	out := restwatch.NewEncoder(
		streaming.NewEncoder(info.StreamSerializer.NewFrameWriter(w), a.codecs.EncoderForVersion(info.StreamSerializer, corev1.SchemeGroupVersion)),
		a.codecs.EncoderForVersion(info.Serializer, corev1.SchemeGroupVersion))
	flush, expired := http.NewResponseController(w), false
	a.locked(func() {
		if expired = from < a.gone; expired {
			return
		}
		a.watchers[me] = true
		for _, c := range a.history {
			if c.version > from {
				me.events <- c.event
			}
		}
	})
	send := func(e watch.Event) {
		err := out.Encode(&e)
		if err = errors.Join(err, flush.Flush()); err != nil && r.Context().Err() == nil {
			a.tb.Logf("watch: %v", err)
		}
	}
	if expired {
		send(watch.Event{Type: watch.Error, Object: &metav1.Status{
			Status: metav1.StatusFailure, Reason: metav1.StatusReasonExpired, Code: http.StatusGone, Message: "too old",
		}})
		return
	}
	_ = flush.Flush() // a client that is gone is found at the next event
	defer a.locked(func() { delete(a.watchers, me) })
	for {
		select {
		case e := <-me.events:
			if n, ok := e.Object.(*corev1.Node); ok && me.labels.Matches(labels.Set(n.Labels)) {
				send(e)
			}
		case <-me.cut:
			panic(http.ErrAbortHandler) //nolint:forbidigo // net/http's way to cut a connection in the middle
		case <-r.Context().Done():
			return
		}
	}
}

// Kubeconfig is a kubeconfig for the API that shows a token.
func (a *API) Kubeconfig(token string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q, certificate-authority-data: %s}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
users: [{name: u, user: {token: %s}}]
current-context: x
`, a.URL(), base64.StdEncoding.EncodeToString([]byte(a.Certificate())), token)
}
