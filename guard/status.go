package guard

import "time"

// Condition is how the guard is.
type Condition string

// The conditions.
const (
	Starting    Condition = "starting"    // nothing was tried yet
	Active      Condition = "active"      // the kernel has the table as wanted
	Off         Condition = "off"         // not wanted, and the kernel has none of ours
	Unavailable Condition = "unavailable" // this kernel cannot do it, or we may not; it never was active in this run
	Failing     Condition = "failing"     // it was active, or could be, but somebody or something is in the way
)

// Status is how things stand. It is immutable.
type Status struct {
	Mode        Mode
	Condition   Condition
	Reason      string    // why it is neither active nor off
	Since       time.Time // of Condition
	Peers       int       // that may connect
	LastCheck   time.Time // when the kernel's table was last read and compared
	Repairs     uint64    // times that somebody had changed the table, and it was put back
	LastRepair  time.Time
	Errors      uint64 // failed reads and writes
	LastError   string
	LastErrorAt time.Time
}
