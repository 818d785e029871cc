// Package roster knows where the list of a remote cluster's nodes comes from: addresses in the configuration and
// hosts files, plain ones and the Ansible inventory that IBM Cloud Private installs from; package kube below it, the
// cluster's Kubernetes API. It also keeps the last list of a source that can be away over a restart ([Store]).
//
// Every source gives its full list each time, never a difference: a file whenever it is read, which is at each reload,
// an API whenever something in it changed. [Merge] makes one list of several. The package refuses to resolve names: a
// node is known by an address, its name is for people. It imports the standard library only.
package roster
