package main

import (
	"context"
	"fmt"
	"log/slog"

	"routed/config"
	"routed/peering"

	"github.com/spf13/cobra"
)

func newRunCommand() *cobra.Command {
	var path, format, level string
	cmd := &cobra.Command{
		Use:   "run --config FILE",
		Short: "Run the daemon in the foreground",
		Long: "Runs the daemon in the foreground and logs to stderr. SIGTERM and SIGINT stop it and, unless the configuration\n" +
			"says otherwise, leave the routes in place. SIGHUP reloads the configuration and the files it names.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			lvl, err := parseLevel(level)
			if err != nil {
				return err
			}
			log, err := newLogger(cmd.ErrOrStderr(), format, lvl)
			if err != nil {
				return err
			}
			return runDaemon(cmd.Context(), path, log)
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&format, "log-format", defaultLogFormat(), "json or console")
	cmd.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return cmd
}

func runDaemon(ctx context.Context, path string, log *slog.Logger) error {
	cfg, roster, err := load(ctx, path)
	if err != nil {
		return err
	}
	logWarnings(log, cfg, roster)
	d, err := newDaemon(path, cfg, roster, log)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return d.run(ctx)
}

// logWarnings says what check would warn of.
func logWarnings(log *slog.Logger, cfg *config.Config, roster peering.Roster) {
	for _, w := range warnings(cfg, roster) {
		log.Warn(w, "event", "configuration-warning")
	}
}

// configFlag gives a command its --config.
func configFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVarP(path, "config", "c", "/etc/routed/routed.yaml", "the configuration file")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
}
