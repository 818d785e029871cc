package snat

import (
	"os"
	"testing"

	"routed/lab"
)

// The tests of the kernel run in the lab's sandbox, a network namespace of their own.
func TestMain(m *testing.M) { os.Exit(lab.Main(m, lab.NFT, lab.IPTables, lab.IPSet)) }
