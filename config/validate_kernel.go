package config

import (
	"strconv"
	"time"
)

func (v *validator) kernel(r rawKernel) Kernel {
	return Kernel{
		Table:               v.table(r.Table),
		Protocol:            v.protocol(r.Protocol),
		RulePriority:        int(v.number(r.RulePriority, 1790, 1, 32765)), // 32766 is the lookup of main (ip-rule(8))
		Encapsulation:       v.encapsulation(r.Encapsulation),
		OnExit:              OnExit(v.choice(r.OnExit, string(OnExitKeep), string(OnExitFlush))),
		ResyncInterval:      v.duration(r.ResyncInterval, time.Minute, time.Hour),
		ConvergenceDeadline: v.duration(r.ConvergenceDeadline, time.Minute, time.Hour),
	}
}

// minTable is the first routing table that is nobody else's: Calico's Felix keeps its own in 1 to 250, and 253 to
// 255 are the kernel's (default, main, local; rtnetlink(7)).
const minTable = 256

func (v *validator) table(s scalar) uint32 {
	if s.absent() {
		return 1790
	}
	if s.kind == kindText && s.text == "main" {
		return TableMain
	}
	n, err := strconv.ParseUint(s.text, 10, 32)
	if s.kind != kindNumber || err != nil || n != TableMain && n < minTable {
		v.fail(s.place, "%q is not main or the number of a table from %d to %d", s.text, minTable, uint32(1<<32-1))
	}
	return uint32(n)
}

// protocol gives the number that marks our routes: 0 to 4 are the kernel's, and whatever other daemons use would
// have us take their routes for ours.
func (v *validator) protocol(s scalar) uint8 {
	n := uint8(v.number(s, 114, 5, 255))
	if owner := protocolOwner(n); owner != "" {
		v.fail(s.place, "%d marks the routes of %s; choose a number that nobody on this host uses", n, owner)
	}
	return n
}

// protocolOwner names who uses a route protocol number (linux/rtnetlink.h, iproute2's rt_protos, Calico's Felix).
func protocolOwner(n uint8) string {
	switch n {
	case 8:
		return "gated"
	case 9:
		return "router advertisements"
	case 10:
		return "MRT"
	case 11, 186, 187, 188, 189, 192:
		return "FRR or Quagga"
	case 12:
		return "BIRD"
	case 13:
		return "DECnet"
	case 14:
		return "XORP"
	case 15:
		return "Netsukuku"
	case 16:
		return "DHCP clients"
	case 17:
		return "mrouted"
	case 18:
		return "keepalived"
	case 42:
		return "Babel"
	case 80:
		return "Calico's Felix"
	case 99:
		return "Open/R"
	default:
		return ""
	}
}

func (v *validator) encapsulation(s scalar) Encapsulation {
	if s.text == "ipip" || s.text == "vxlan" {
		v.unsupported(s.place, "write auto or none, and connect the nodes directly")
		return EncapsulationAuto
	}
	return Encapsulation(v.choice(s, string(EncapsulationAuto), string(EncapsulationNone)))
}
