// Package icp makes the configuration of every host of IBM Cloud Private clusters out of the two files that each was
// installed from: cluster/hosts, an Ansible inventory, and cluster/config.yaml.
//
// It is a pure function of what those say. What it writes was read by package config as the daemon will read it, so that
// what does not go together (clusters with the same pod range, a host in two of them) is told before anything is on a host.
// No password of an inventory is in what it writes. How the files get to the hosts is up to deploy/icp/install.
package icp
