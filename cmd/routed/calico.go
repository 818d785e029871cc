package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"routed/calico"
)

func newCalicoCommand() *cobra.Command {
	var path, version, client string
	cmd := &cobra.Command{
		Use:   "calico --config FILE --calico-version VERSION",
		Short: "Print the Calico objects that this mesh needs",
		Long: "Prints the Calico objects that this mesh needs, for the version of Calico that the cluster has: a disabled IPPool for each\n" +
			"range of remote pods, and the BGPPeer toward the daemon of each node. It asks and changes nothing. Apply them once for the\n" +
			"cluster, shortly before or after routed starts on its nodes.\n\n" +
			"  routed calico --calico-version 3.28 | calicoctl apply -f -\n" +
			"  routed calico --calico-version 3.28 --for kubectl | kubectl apply -f -\n\n" +
			"Exit status: 0 printed, 1 the configuration or the version cannot be used.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			v, err := calico.ParseVersion(version)
			if err != nil {
				return fmt.Errorf("--calico-version: %w", err)
			}
			host, err := askKernel()
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, host.Close()) }()
			cfg, err := loadConfig(cmd.Context(), path, host)
			if err != nil {
				return err
			}
			manifest, err := calico.Manifest(cfg, v, calico.Client(client))
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			_, err = cmd.OutOrStdout().Write(manifest)
			return err
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&version, "calico-version", "", "the version of Calico in this cluster, such as 3.28 (required)")
	cmd.Flags().StringVar(&client, "for", string(calico.Calicoctl), "what will apply the objects: calicoctl or kubectl")
	_ = cmd.RegisterFlagCompletionFunc("for", cobra.FixedCompletions([]string{string(calico.Calicoctl), string(calico.Kubectl)}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}
