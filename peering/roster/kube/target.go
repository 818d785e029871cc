package kube

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"routed/peering/roster"
)

// Settings says where a list of nodes is to be had.
type Settings struct {
	Kubeconfig    string // path of a kubeconfig, or of an Istio remote secret
	Context       string // of the kubeconfig; empty: its current one
	LabelSelector string // which nodes; empty: all
}

// Target is a usable API: [Settings] with every file they lead to read. It is immutable.
type Target struct {
	selector string
	config   api.Config // of one context; needs no file any more
	digest   []byte     // of config, to compare
	client   *client
}

// Load reads the kubeconfig, and the certificates, keys and tokens that it names, now. Whoever changes one of these
// files has to load anew; [Files] lists them.
func Load(s Settings) (*Target, error) {
	selector, err := labels.Parse(s.LabelSelector)
	if err != nil {
		return nil, fmt.Errorf("label selector: %w", err)
	}
	config, from, err := read(s.Kubeconfig)
	if err != nil {
		return nil, err
	}
	if err := choose(config, s.Context); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Kubeconfig, err)
	}
	for _, check := range []func(*api.Config, origin) error{refusePrograms, refuseFiles, embed} {
		if err := check(config, from); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Kubeconfig, err)
		}
	}
	digest, err := clientcmd.Write(*config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Kubeconfig, err)
	}
	t := &Target{selector: selector.String(), config: *config, digest: digest}
	if t.Server() == "" {
		return nil, fmt.Errorf("%s: the cluster has no server", s.Kubeconfig)
	}
	if t.client, err = newClient(t); err != nil { // certificates that are none are found here
		return nil, fmt.Errorf("%s: %w", s.Kubeconfig, err)
	}
	return t, nil
}

// Equal reports whether both ask the same API in the same way with the same credentials.
func (t *Target) Equal(o *Target) bool {
	return t.selector == o.selector && bytes.Equal(t.digest, o.digest)
}

// Server is the address of the API, as a URL.
func (t *Target) Server() string { return t.cluster().Server }

// Unverified reports whether the kubeconfig says not to verify the server's certificate: then whoever is in between
// decides who the nodes are.
func (t *Target) Unverified() bool { return t.cluster().InsecureSkipTLSVerify }

func (t *Target) cluster() *api.Cluster {
	return t.config.Clusters[t.config.Contexts[t.config.CurrentContext].Cluster]
}

// Files lists what [Load] reads for the kubeconfig at path: itself, and what it names, as far as it can be read.
func Files(path string) []string {
	files := []string{path}
	config, from, err := read(path)
	if err != nil || from.secret {
		return files
	}
	for _, named := range fileNames(config) {
		if *named != "" {
			files = append(files, from.abs(*named))
		}
	}
	slices.Sort(files[1:])
	return slices.Compact(files)
}

// origin is where a kubeconfig came from.
type origin struct {
	dir    string // relative paths begin here
	secret bool   // out of a Secret's manifest
}

func (o origin) abs(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(o.dir, path)
}

func read(path string) (*api.Config, origin, error) {
	data, err := roster.ReadFile(path)
	if err != nil {
		return nil, origin{}, fmt.Errorf("kubeconfig: %w", err)
	}
	config, isSecret, err := parse(data)
	if err != nil {
		return nil, origin{}, fmt.Errorf("%s: %w", path, err)
	}
	return config, origin{dir: filepath.Dir(path), secret: isSecret}, nil
}

// choose leaves nothing in the kubeconfig but the context asked for, its cluster and its user.
func choose(c *api.Config, context string) error {
	if context != "" {
		c.CurrentContext = context
	}
	chosen := c.Contexts[c.CurrentContext]
	switch {
	case c.CurrentContext == "":
		return errors.New("no current-context, and none is configured")
	case chosen == nil:
		return fmt.Errorf("no context %q", c.CurrentContext)
	case c.Clusters[chosen.Cluster] == nil:
		return fmt.Errorf("no cluster %q, which context %q is about", chosen.Cluster, c.CurrentContext)
	case c.AuthInfos[chosen.AuthInfo] == nil:
		return fmt.Errorf("no user %q, which context %q is about", chosen.AuthInfo, c.CurrentContext)
	}
	*c = api.Config{
		CurrentContext: c.CurrentContext,
		Contexts:       map[string]*api.Context{c.CurrentContext: {Cluster: chosen.Cluster, AuthInfo: chosen.AuthInfo}},
		Clusters:       map[string]*api.Cluster{chosen.Cluster: c.Clusters[chosen.Cluster]},
		AuthInfos:      map[string]*api.AuthInfo{chosen.AuthInfo: c.AuthInfos[chosen.AuthInfo]},
	}
	return nil
}

// refusePrograms: a kubeconfig may name a program that makes credentials. Ours would run with the rights to change
// routes, and a Secret from another cluster's administrator would choose it.
func refusePrograms(c *api.Config, _ origin) error {
	for name, user := range c.AuthInfos {
		if user.Exec != nil || user.AuthProvider != nil {
			return fmt.Errorf("user %q gets its credentials from a program (exec or auth-provider), which routed does not run; "+
				"use a token or a certificate", name)
		}
	}
	return nil
}

// refuseFiles: a Secret is the work of another machine, whose files are not ours.
func refuseFiles(c *api.Config, from origin) error {
	if !from.secret {
		return nil
	}
	for _, name := range fileNames(c) {
		if *name != "" {
			return fmt.Errorf("a kubeconfig in a Secret carries its data with it, and this one names a file, %s", *name)
		}
	}
	return nil
}

// fileNames points to everything in a kubeconfig that names a file.
func fileNames(c *api.Config) []*string {
	var names []*string
	for _, cluster := range c.Clusters {
		names = append(names, &cluster.CertificateAuthority)
	}
	for _, user := range c.AuthInfos {
		names = append(names, &user.ClientCertificate, &user.ClientKey, &user.TokenFile)
	}
	return names
}

// embed reads the files that the kubeconfig names into it. A file wins over data beside it, as in client-go.
func embed(c *api.Config, from origin) error {
	one := func(name *string, into *[]byte) error {
		if *name == "" {
			return nil
		}
		data, err := roster.ReadFile(from.abs(*name))
		if err != nil {
			return err
		}
		*name, *into = "", data
		return nil
	}
	for _, cluster := range c.Clusters {
		if err := one(&cluster.CertificateAuthority, &cluster.CertificateAuthorityData); err != nil {
			return fmt.Errorf("certificate-authority: %w", err)
		}
	}
	for _, user := range c.AuthInfos {
		token := []byte(user.Token)
		err := errors.Join(
			one(&user.ClientCertificate, &user.ClientCertificateData),
			one(&user.ClientKey, &user.ClientKeyData),
			one(&user.TokenFile, &token),
		)
		if err != nil {
			return fmt.Errorf("credentials: %w", err)
		}
		user.Token = string(bytes.TrimSpace(token))
	}
	return nil
}
