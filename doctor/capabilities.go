package doctor

// capNetAdmin is CAP_NET_ADMIN (linux/capability.h): without it no route can be changed.
const capNetAdmin = 12

// checkCapabilities looks at this process, which ought to run as the daemon does.
func checkCapabilities(h Host) []Check {
	const name = "capabilities"
	switch {
	case h.Capabilities.Err != nil:
		return []Check{unknown(name, h.Capabilities.Err, "make sure that /proc is mounted")}
	case h.Capabilities.Value&(1<<capNetAdmin) != 0:
		return []Check{good(name, "this process has CAP_NET_ADMIN and may change routes")}
	case h.UID != 0:
		return []Check{{
			Name: name, Result: Unknown, Why: "this is not run as the daemon is: an ordinary user has no CAP_NET_ADMIN",
			Fix: "run `routed doctor` as root",
		}}
	}
	return []Check{{
		Name: name, Result: Failed, Why: "root has no CAP_NET_ADMIN here, so that no route can be changed",
		Fix: "give the container or the unit the capability NET_ADMIN",
	}}
}
