// Package roster knows where the list of a remote cluster's nodes comes from: addresses in the configuration and
// hosts files, plain ones and the Ansible inventory that IBM Cloud Private installs from.
//
// Every source gives its full list each time it is asked, never a difference; [Merge] makes one list of several.
// A source that watches (a file, the Kubernetes API) is a stream of such full lists. The package refuses to resolve
// names: a node is known by an address, its name is for people. It imports the standard library only.
package roster
