package lab_test

import (
	"os"
	"testing"

	"routed/lab"
)

func TestMain(m *testing.M) {
	if play := os.Getenv(envPlay); play != "" {
		os.Exit(playInSandbox(play))
	}
	os.Exit(lab.Main(m, lab.BIRD16, lab.BIRD2, lab.FRR, lab.Ping, lab.NFT, lab.Prometheus))
}
