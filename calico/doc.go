// Package calico writes the objects that Calico needs beside routed: the BGP peer toward the daemon of each node, and the
// ranges of remote pods as pools that give no address.
//
// It is a pure function of the configuration and of the version of Calico: it asks no cluster, and changes nothing. What it
// knows of a version is in version.go, each fact with the place in Calico's source that it is from. It prints nothing that
// would replace an object that is somebody else's: no BGPConfiguration, no FelixConfiguration.
package calico
