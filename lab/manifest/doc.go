// Package manifest reads the Kubernetes manifests as an API server would, and has a pod's container run as a node would run it:
// with the image's files as its root, with the mounts, the user and the capabilities that the pod's specification gives it, and
// with nothing else.
//
// It is for tests. What it does not know it refuses, so that no test passes over it. A kubelet does more than this: seccomp,
// AppArmor, cgroups and probes are not played.
package manifest
