// Package kubetest is an API server that knows nodes, for tests: list and watch, in JSON or protobuf, and everything that
// can go wrong with them.
package kubetest
