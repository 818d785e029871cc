package guard

import (
	"os"
	"testing"

	"routed/lab"
)

// The tests run in the lab's sandbox: the network namespace of the whole process is a private one, so that what a Keeper
// does, in whatever thread, it does there and not on the host.
func TestMain(m *testing.M) { os.Exit(lab.Main(m, lab.NFT)) }
