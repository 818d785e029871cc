// Package kube knows a remote cluster's nodes from its Kubernetes API: a stream of full lists ([Source]), or one list
// now ([List]), of the InternalIP addresses of the Node objects.
//
// It is the only place that knows client-go. It reads nodes and nothing else, by list and watch; it writes nothing.
// An outage of the API ends no stream and takes no list back: [Source.Status] tells of it. The credentials are a
// kubeconfig, or the Secret in which `istioctl create-remote-secret` hands one out ([Load]). It refuses to run programs
// (`exec`, `auth-provider`): this daemon has rights that no credential plugin should inherit.
package kube
