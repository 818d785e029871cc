package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"routed/calico"
	"routed/config"
	"routed/icp"
	"routed/peering/roster"
)

func newICPCommand() *cobra.Command {
	var clusters []string
	var out, version, more string
	cmd := &cobra.Command{
		Use:   "icp --cluster NAME=DIR --cluster NAME=DIR --out DIR",
		Short: "Write the configuration of every host of IBM Cloud Private clusters",
		Long: "Writes the configuration of every host of two or more IBM Cloud Private clusters into a folder, out of the two files that each\n" +
			"was installed from: DIR/hosts and DIR/config.yaml, the installer's folder `cluster`. It reaches no host; deploy/icp/install\n" +
			"takes the folder there. What it writes has been checked as `routed check` does, but for what only the host itself knows.\n\n" +
			"  hosts                        every host: cluster, address, user and port of SSH\n" +
			"  CLUSTER/ADDRESS/routed.yaml  and a list of the hosts of each other cluster beside it\n" +
			"  CLUSTER/calico.yaml          with --calico-version: what `routed calico` prints\n\n" +
			"A folder that it wrote before is replaced.\n\n" +
			"Exit status: 0 written, 1 nothing is.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			files, err := icpTree(clusters, version, more)
			if err != nil {
				return err
			}
			if err := writeTree(out, files); err != nil {
				return fmt.Errorf("--out: %w", err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d files in %s\n", len(files), out)
			return nil
		},
	}
	cmd.Flags().StringArrayVar(&clusters, "cluster", nil, "NAME=DIR: a cluster and the folder with its hosts and config.yaml; once for each (required)")
	cmd.Flags().StringVar(&out, "out", "", "the folder to write (required)")
	cmd.Flags().StringVar(&version, "calico-version", "", "write the Calico objects for this version too, such as 3.5")
	cmd.Flags().StringVar(&more, "more", "", "a YAML file to put at the end of every routed.yaml, such as mesh: {retention: 2h}")
	for _, name := range []string{"cluster", "out"} {
		_ = cmd.MarkFlagRequired(name)
	}
	_ = cmd.MarkFlagDirname("out")
	_ = cmd.MarkFlagFilename("more", "yaml", "yml")
	return cmd
}

// icpTree reads what the flags name and gives the files to write.
func icpTree(flags []string, version, more string) ([]icp.File, error) {
	var o icp.Options
	if version != "" {
		v, err := calico.ParseVersion(version)
		if err != nil {
			return nil, fmt.Errorf("--calico-version: %w", err)
		}
		o.Calico = &v
	}
	if more != "" {
		text, err := roster.ReadFile(more)
		if err != nil {
			return nil, fmt.Errorf("--more: %w", err)
		}
		o.More = string(text)
	}
	var clusters []icp.Cluster
	var errs []error
	for _, f := range flags {
		c, err := icpCluster(f)
		if err != nil {
			errs = append(errs, fmt.Errorf("--cluster %s: %w", f, err))
		}
		clusters = append(clusters, c)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return icp.Tree(clusters, o)
}

func icpCluster(flag string) (icp.Cluster, error) {
	name, dir, ok := strings.Cut(flag, "=")
	if !ok || dir == "" {
		return icp.Cluster{}, errors.New("must be NAME=DIR")
	}
	c := icp.Cluster{Name: name}
	path := filepath.Join(dir, "hosts")
	data, err := roster.ReadFile(path)
	if err != nil {
		return c, err
	}
	if c.Hosts, err = roster.ParseAccess(path, data); err != nil {
		return c, err
	}
	c.ICP, err = config.ReadICP(filepath.Join(dir, "config.yaml"), config.Env{})
	return c, err
}

// writeTree puts the files into dir, which holds either all of them or what it held before. It replaces nothing but a tree.
func writeTree(dir string, files []icp.File) (err error) {
	if err := replaceable(dir); err != nil {
		return err
	}
	fresh, err := os.MkdirTemp(filepath.Dir(filepath.Clean(dir)), ".routed-icp-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(fresh)) }()
	written := filepath.Join(fresh, "new")
	for _, f := range files {
		path := filepath.Join(written, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, f.Data, 0o600); err != nil { // --more may hold a password
			return err
		}
	}
	if err := os.Rename(dir, filepath.Join(fresh, "old")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(written, dir)
}

// replaceable reports, by an error, that a folder is there that is neither empty nor a tree.
func replaceable(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	f, err := os.Open(filepath.Join(dir, icp.HostsFile))
	if err != nil {
		return fmt.Errorf("%s is not empty and not of `routed icp`; name another folder", dir)
	}
	defer f.Close()
	if line, _ := bufio.NewReader(f).ReadString('\n'); strings.TrimSuffix(line, "\n") != icp.HostsHead {
		return fmt.Errorf("%s is not empty and not of `routed icp`; name another folder", dir)
	}
	return nil
}
