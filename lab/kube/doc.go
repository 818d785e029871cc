// Package kube holds what the project has for Kubernetes against a real API server: the manifests of deploy/daemonset, the
// rights of the account in them, and the roster that follows Node objects. `make test-kube` runs it.
//
// It is a module of its own, so that the program's go.mod stays free of k8s.io/kubernetes: the API server and kubectl are its
// tools, built from that module with the staging modules it was released with. etcd is the distribution's. All of it runs
// inside the lab's sandbox.
package kube
