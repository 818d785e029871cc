package kube

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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

// apiServer is an API server that knows nodes: list and watch, in JSON or protobuf, with everything that can go wrong.
type apiServer struct {
	t      *testing.T
	codecs serializer.CodecFactory
	server *httptest.Server
	addr   string // keeps over a restart

	mu       sync.Mutex
	proto    bool
	token    string // what a client must show
	version  int
	nodes    map[string]*corev1.Node
	status   map[string]int // "list" or "watch": answer with this status
	silent   bool           // answer nothing at all
	gone     int            // versions below are too old to watch from
	watchers map[*watcher]bool
	asked    []url.Values // what was asked for, watches and lists
}

type watcher struct {
	events chan watch.Event
	cut    chan struct{} // closed: end the connection in the middle
	labels labels.Selector
}

func startAPI(t *testing.T) *apiServer {
	t.Helper()
	a := &apiServer{
		t: t, codecs: serializer.NewCodecFactory(nodeScheme()), token: "sesame", version: 100,
		nodes: map[string]*corev1.Node{}, status: map[string]int{}, watchers: map[*watcher]bool{},
	}
	a.start("127.0.0.1:0")
	t.Cleanup(func() { a.stop() })
	return a
}

// start listens; after stop, on the same address.
func (a *apiServer) start(addr string) {
	a.t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		a.t.Fatal(err)
	}
	a.server = httptest.NewUnstartedServer(http.HandlerFunc(a.serve))
	a.server.Listener.Close()
	a.server.Listener = l
	a.server.StartTLS()
	a.addr = l.Addr().String()
}

// stop drops every connection and listens no more.
func (a *apiServer) stop() {
	a.cut()
	a.set(func() { a.silent = false })
	a.server.CloseClientConnections()
	a.server.Close()
}

func (a *apiServer) restart() {
	a.t.Helper()
	a.stop()
	a.start(a.addr)
}

// set changes something under the lock.
func (a *apiServer) set(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}

// cut ends every watch without a word.
func (a *apiServer) cut() {
	a.set(func() {
		for w := range a.watchers {
			close(w.cut)
			delete(a.watchers, w)
		}
	})
}

// put adds or changes a node with InternalIPs.
func (a *apiServer) put(name string, addrs ...string) {
	var status []corev1.NodeAddress
	for _, addr := range addrs {
		status = append(status, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: addr})
	}
	a.putNode(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Addresses: status}})
}

func (a *apiServer) putNode(n *corev1.Node) {
	a.set(func() {
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

func (a *apiServer) remove(name string) {
	a.set(func() {
		n := a.nodes[name].DeepCopy()
		delete(a.nodes, name)
		a.version++
		n.ResourceVersion = strconv.Itoa(a.version)
		a.tell(watch.Event{Type: watch.Deleted, Object: n})
	})
}

// forget loses every node without an event, as an API whose storage was restored from nothing; watches end.
func (a *apiServer) forget() {
	a.set(func() {
		clear(a.nodes)
		a.version++
		a.gone = a.version
	})
	a.cut()
}

func (a *apiServer) tell(e watch.Event) {
	for w := range a.watchers {
		w.events <- e
	}
}

func (a *apiServer) watching() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.watchers)
}

// serve answers GET /api/v1/nodes.
func (a *apiServer) serve(w http.ResponseWriter, r *http.Request) {
	kind := "list"
	if r.URL.Query().Get("watch") == "true" {
		kind = "watch"
	}
	a.mu.Lock()
	a.asked = append(a.asked, r.URL.Query())
	token, status, silent, proto := a.token, a.status[kind], a.silent, a.proto
	a.mu.Unlock()
	switch {
	case silent:
		<-r.Context().Done()
	case r.Method != http.MethodGet || r.URL.Path != "/api/v1/nodes":
		a.refuse(w, http.StatusForbidden, metav1.StatusReasonForbidden)
	case r.Header.Get("Authorization") != "Bearer "+token:
		a.refuse(w, http.StatusUnauthorized, metav1.StatusReasonUnauthorized)
	case status != 0:
		a.refuse(w, status, metav1.StatusReasonInternalError)
	case kind == "watch":
		a.serveWatch(w, r, mediaType(proto))
	default:
		a.serveList(w, r, mediaType(proto))
	}
}

func mediaType(proto bool) string {
	if proto {
		return runtime.ContentTypeProtobuf
	}
	return runtime.ContentTypeJSON
}

func (a *apiServer) refuse(w http.ResponseWriter, status int, reason metav1.StatusReason) {
	w.Header().Set("Content-Type", runtime.ContentTypeJSON)
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"message":%q,"code":%d}`, reason, reason, status)
}

func (a *apiServer) selector(r *http.Request) labels.Selector {
	s, err := labels.Parse(r.URL.Query().Get("labelSelector"))
	if err != nil {
		a.t.Error(err)
	}
	return s
}

func (a *apiServer) serveList(w http.ResponseWriter, r *http.Request, media string) {
	out := &corev1.NodeList{}
	selector := a.selector(r)
	a.set(func() {
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
		a.t.Error(err)
	}
}

func (a *apiServer) serveWatch(w http.ResponseWriter, r *http.Request, media string) {
	me := &watcher{events: make(chan watch.Event, 1000), cut: make(chan struct{}), labels: a.selector(r)}
	from, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	info, _ := runtime.SerializerInfoForMediaType(a.codecs.SupportedMediaTypes(), media)
	w.Header().Set("Content-Type", media+map[bool]string{true: ";stream=watch"}[media == runtime.ContentTypeProtobuf])
	out := restwatch.NewEncoder(
		streaming.NewEncoder(info.StreamSerializer.NewFrameWriter(w), a.codecs.EncoderForVersion(info.StreamSerializer, corev1.SchemeGroupVersion)),
		a.codecs.EncoderForVersion(info.Serializer, corev1.SchemeGroupVersion))
	expired := false
	a.set(func() {
		if expired = from < a.gone; !expired {
			a.watchers[me] = true
		}
	})
	send := func(e watch.Event) {
		if err := out.Encode(&e); err != nil && r.Context().Err() == nil {
			a.t.Logf("watch: %v", err)
		}
		w.(http.Flusher).Flush()
	}
	if expired {
		send(watch.Event{Type: watch.Error, Object: &metav1.Status{
			Status: metav1.StatusFailure, Reason: metav1.StatusReasonExpired, Code: http.StatusGone, Message: "too old",
		}})
		return
	}
	w.(http.Flusher).Flush()
	defer a.set(func() { delete(a.watchers, me) })
	for {
		select {
		case e := <-me.events:
			if me.labels.Matches(labels.Set(e.Object.(*corev1.Node).Labels)) {
				send(e)
			}
		case <-me.cut:
			panic(http.ErrAbortHandler)
		case <-r.Context().Done():
			return
		}
	}
}

// kubeconfig writes a kubeconfig for the API and gives its path.
func (a *apiServer) kubeconfig(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	write(t, path, a.kubeconfigText(a.token))
	return path
}

func (a *apiServer) kubeconfigText(token string) string {
	return strings.NewReplacer("SERVER", "https://"+a.addr, "CA", b64(pemOf(a.server.Certificate())), "TOKEN", token).Replace(`apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: SERVER, certificate-authority-data: CA}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
users: [{name: u, user: {token: TOKEN}}]
current-context: x
`)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (a *apiServer) target(t *testing.T, selector string) *Target {
	t.Helper()
	target, err := Load(Settings{Kubeconfig: a.kubeconfig(t), LabelSelector: selector})
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func TestMain(m *testing.M) { os.Exit(leakFree(m)) }

