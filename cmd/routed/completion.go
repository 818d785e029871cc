package main

import (
	"context"
	"time"

	"routed/admin"

	"github.com/spf13/cobra"
)

// completeWithin is how long a shell waits for the daemon while somebody types.
const completeWithin = time.Second

// completeWords has a shell offer the words that a flag takes.
func completeWords(cmd *cobra.Command, flag string, words ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// completeCluster offers the remote clusters that the running daemon has. Without one there is nothing to offer.
func (f *queryFlags) completeCluster(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completeWithin)
	defer cancel()
	s, err := admin.NewClient(f.socket).Status(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := make([]cobra.Completion, 0, len(s.Clusters))
	for _, c := range s.Clusters {
		names = append(names, c.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
