package doctor

import "fmt"

// checkForwarding looks at whether the host passes packets on that are not its own. Pods' are not.
func checkForwarding(h Host) []Check {
	const name = "ip-forwarding"
	var checks []Check
	for _, s := range h.Forwarding {
		switch {
		case s.Value.Err != nil:
			checks = append(checks, unknown(name, s.Value.Err, "look at it with `sysctl "+s.Key+"`"))
		case s.Value.Value == "0":
			checks = append(checks, Check{
				Name: name, Result: Failed, Why: s.Key + " is 0: packets of pods are dropped",
				Fix: fmt.Sprintf("sysctl -w %s=1, and the same in a file in /etc/sysctl.d", s.Key),
			})
		}
	}
	if len(checks) == 0 {
		checks = []Check{good(name, "packets of pods are passed on")}
	}
	return checks
}
