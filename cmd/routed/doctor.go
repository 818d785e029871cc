package main

import (
	"encoding/json"
	"os"

	"routed/doctor"

	"github.com/spf13/cobra"
)

func newDoctorCommand() *cobra.Command {
	var path, output string
	cmd := &cobra.Command{
		Use:   "doctor --config FILE",
		Short: "Check this host for what breaks pod traffic between clusters",
		Long: "Checks this host for what breaks pod traffic between clusters, the worst first, and says how to mend each. It changes\n" +
			"nothing and needs no daemon.\n\n" +
			"Exit status: 0 no check failed (there may be warnings), 1 a check failed or nothing could be checked.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDoctor(cmd, path, output) },
	}
	configFlag(cmd, &path)
	outputFlag(cmd, &output)
	return cmd
}

func runDoctor(cmd *cobra.Command, path, output string) error {
	if err := checkOutput(output); err != nil {
		return err
	}
	cfg, fib, err := openKernel(cmd.Context(), path)
	if err != nil {
		return err
	}
	defer fib.Close()
	report := doctor.Examine(doctor.Look(cmd.Context(), cfg, kernelConfig(cfg, nil, nil), fib, os.DirFS("/proc"), os.Geteuid()))
	out := cmd.OutOrStdout()
	if output == "json" {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		err = enc.Encode(report)
	} else {
		err = report.Text(out, colored(out))
	}
	if err == nil && report.Failed() {
		err = &exitError{code: exitFailed}
	}
	return err
}
