package kube

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// answerWithin bounds a list, and the time until a watch begins.
const answerWithin = 30 * time.Second

// client reads nodes. The typed clientset of client-go would do the same and bring every API of Kubernetes into the
// program; this one knows two types.
type client struct {
	rest     rest.Interface
	params   runtime.ParameterCodec
	selector string
	within   time.Duration
}

func newClient(t *Target) (*client, error) {
	cfg, err := clientcmd.NewDefaultClientConfig(t.config, nil).ClientConfig()
	if err != nil {
		return nil, err
	}
	scheme := nodeScheme()
	cfg.GroupVersion = &corev1.SchemeGroupVersion
	cfg.APIPath = "/api"
	cfg.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	cfg.ContentType = runtime.ContentTypeProtobuf // half the size of JSON, which an API that has no other still gives
	cfg.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	cfg.UserAgent = "routed"
	cfg.WarningHandlerWithContext = rest.NoWarnings{}
	c, err := rest.RESTClientFor(cfg)
	if err != nil {
		return nil, err
	}
	return &client{rest: c, params: runtime.NewParameterCodec(scheme), selector: t.selector, within: answerWithin}, nil
}

func nodeScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(corev1.SchemeGroupVersion, &corev1.Node{}, &corev1.NodeList{})
	metav1.AddToGroupVersion(scheme, corev1.SchemeGroupVersion)
	return scheme
}

func (c *client) list(ctx context.Context, options metav1.ListOptions) (*corev1.NodeList, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.within, c.late())
	defer cancel()
	options.LabelSelector = c.selector
	out := &corev1.NodeList{}
	err := c.rest.Get().Resource("nodes").VersionedParams(&options, c.params).Do(ctx).Into(out)
	if err != nil {
		return nil, because(ctx, err)
	}
	for i := range out.Items {
		strip(&out.Items[i])
	}
	return out, nil
}

// watch begins a watch; it ends with ctx. The time until the answer begins is bounded, the watch itself is not.
func (c *client) watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	begun := time.AfterFunc(c.within, func() { cancel(c.late()) })
	options.LabelSelector = c.selector
	options.Watch = true
	w, err := c.rest.Get().Resource("nodes").VersionedParams(&options, c.params).Watch(ctx)
	if err == nil && begun.Stop() {
		return &watching{Interface: w, cancel: cancel}, nil
	}
	if err == nil { // it came when the time was over
		w.Stop()
		err = c.late()
	}
	err = because(ctx, err)
	begun.Stop()
	cancel(nil)
	return nil, err
}

// watching is a watch that frees its context when it is stopped.
type watching struct {
	watch.Interface
	cancel context.CancelCauseFunc
}

func (w *watching) Stop() {
	w.Interface.Stop()
	w.cancel(nil)
}

func (c *client) late() error { return fmt.Errorf("no answer within %s", c.within) }

// because names the bound that was hit, where client-go only says that the context ended.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// strip leaves of a Node what its address is found by: the rest of it, some 15 kB, is not kept.
func strip(n *corev1.Node) {
	*n = corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, ResourceVersion: n.ResourceVersion},
		Status:     corev1.NodeStatus{Addresses: n.Status.Addresses},
	}
}
