// Command fetch unpacks the tools that the tests use into the lab's cache and prints where the BIRD daemons are, separated by
// colons, for the tests of packages that the lab itself stands on. What cannot be had it names; the tests that need it then
// skip.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"routed/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := lab.Fetch(ctx, lab.BIRD16, lab.BIRD2, lab.FRR, lab.GoBGP, lab.Ping, lab.NFT, lab.IPTables, lab.IPSet, lab.Prometheus, lab.Chromium,
		lab.SSH, lab.SSHD, lab.ShellCheck, lab.Bubblewrap)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fetch: tests that need these will be skipped:", err)
	}
	var birds []string
	for _, tool := range []lab.Tool{lab.BIRD16, lab.BIRD2} {
		if found, err := tool.Find(); err == nil {
			birds = append(birds, found.Path(tool.Program))
		}
	}
	fmt.Println(strings.Join(birds, ":"))
}
