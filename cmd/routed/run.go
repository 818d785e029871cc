package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"

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
			"says otherwise, leave the routes in place. The configuration and the files it names are reloaded when they change,\n" +
			"and at SIGHUP.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			atomic, err := parseLevel(level)
			if err != nil {
				return err
			}
			bound, err := newLogger(cmd.ErrOrStderr(), format, atomic)
			if err != nil {
				return err
			}
			lvl := logLevel{AtomicLevel: atomic, fixed: cmd.Flags().Changed("log-level")}
			bounding, stop := context.WithCancel(context.WithoutCancel(cmd.Context()))
			var wg sync.WaitGroup
			wg.Go(func() { bound.run(bounding) })
			err = runDaemon(cmd.Context(), path, slog.New(bound), lvl)
			stop()
			wg.Wait()
			return err
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&format, "log-format", defaultLogFormat(), "json or console")
	cmd.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error; wins over log.level of the configuration")
	completeWords(cmd, "log-format", "json", "console")
	completeWords(cmd, "log-level", "debug", "info", "warn", "error")
	return cmd
}

func runDaemon(ctx context.Context, path string, log *slog.Logger, level logLevel) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	l, err := ask(askKernel).load(ctx, path)
	if err != nil {
		return err
	}
	roster, err := l.resolve(nil)
	if err != nil {
		return err
	}
	level.follow(l.cfg)
	logWarnings(log, l.cfg, roster)
	d, err := newDaemon(path, l, roster, log, level)
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
