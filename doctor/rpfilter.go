package doctor

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
)

// rpFilterAll is the parameter that holds for every device: the kernel goes by the greater of it and that of the device
// (IN_DEV_MAXCONF, linux/inetdevice.h).
const rpFilterAll = "net/ipv4/conf/all/rp_filter"

func rpFilterKey(device string) string { return "net/ipv4/conf/" + device + "/rp_filter" }

func (h *Host) readRPFilter(proc fs.FS) {
	keys := []string{rpFilterAll}
	for _, r := range h.Returns.Value {
		if key := rpFilterKey(r.Arrives); !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 1 {
		return
	}
	for _, key := range keys {
		h.RPFilter = append(h.RPFilter, Sysctl{Key: key, Value: fact(readSysctl(proc, key))})
	}
}

// The values of rp_filter (Documentation/networking/ip-sysctl.rst).
const (
	rpFilterStrict = 1 // the answer must leave by the device that the packet came in by
	rpFilterLoose  = 2 // there must be a way back at all
)

// rpFilter is what holds for a device, and the parameter that it is due to.
func (h Host) rpFilter(device string) (value int, key string, err error) {
	for _, s := range h.RPFilter {
		if s.Key != rpFilterAll && s.Key != rpFilterKey(device) {
			continue
		}
		if s.Value.Err != nil {
			return 0, s.Key, s.Value.Err
		}
		v, err := strconv.Atoi(s.Value.Value)
		if err != nil {
			return 0, s.Key, fmt.Errorf("sysctl %s is %q", s.Key, s.Value.Value)
		}
		if v > value || key == "" {
			value, key = v, s.Key
		}
	}
	return value, key, nil
}

// checkRPFilter looks at whether the reverse path filter drops packets of pods: those that come in by another device than
// the one by which the kernel would answer.
func checkRPFilter(h Host) []Check {
	const name = "rp-filter"
	if h.Returns.Err != nil {
		return []Check{unknown(name, h.Returns.Err, "see `ip route get` for a remote pod and `sysctl -a --pattern rp_filter`")}
	}
	var checks []Check
	told := make(map[string]bool) // each device and way once: all blocks behind a next hop are alike
	for _, r := range h.Returns.Value {
		value, key, err := h.rpFilter(r.Arrives)
		about := r.Arrives + " " + r.Answers
		if told[about] {
			continue
		}
		c := Check{Name: name, Result: Failed}
		whose := "remote pods"
		if r.Here {
			whose = "this node's pods"
		}
		switch {
		case err != nil:
			c = unknown(name, err, "look at it with `sysctl "+key+"`")
		case value == rpFilterStrict && r.Answers != "" && r.Answers != r.Arrives:
			c.Why = fmt.Sprintf("%s is strict, and packets of %s (%s) come in by %s while answers leave by %s: they are dropped",
				key, whose, r.From, r.Arrives, r.Answers)
			c.Fix = fmt.Sprintf("let both ways use one device, or: sysctl -w %s=%d, and the same in a file in /etc/sysctl.d",
				rpFilterKey(r.Arrives), rpFilterLoose)
		case value != 0 && r.Answers == "":
			c.Why = fmt.Sprintf("%s is %d, and there is no way back to %s (%s) that come in by %s: their packets are dropped",
				key, value, whose, r.From, r.Arrives)
			c.Fix = "see `ip route get " + r.From.Addr().String() + "` for what is in the way"
		default:
			continue
		}
		told[about] = true
		checks = append(checks, c)
	}
	if len(checks) == 0 {
		checks = []Check{h.goodRPFilter(name)}
	}
	return checks
}

// goodRPFilter says why nothing is dropped.
func (h Host) goodRPFilter(name string) Check {
	for _, r := range h.Returns.Value {
		if value, key, _ := h.rpFilter(r.Arrives); value == rpFilterStrict {
			return good(name, "%s is strict, and answers leave by the device that packets of pods come in by", key)
		}
	}
	return good(name, "no strict reverse path filter is where packets of pods come in")
}
