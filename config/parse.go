package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"routed/regular"
)

// MaxFileSize bounds a YAML file, in bytes: room for thousands of addresses.
const MaxFileSize = 256 << 10

// Env is what of the host a configuration may depend on.
type Env struct {
	// Getenv is os.Getenv; nil: the environment is empty.
	Getenv func(key string) string
	// DefaultAddress gives the address that owns the default route of a family, the last resort for node.address and
	// node.address6; nil: there is none.
	DefaultAddress func(ipv6 bool) (netip.Addr, error)
	// ReadFile reads the configuration, cluster.icpConfig and password files; nil: from the file system, up to MaxFileSize.
	ReadFile func(path string) ([]byte, error)
	// FileMode gives the mode of a file, links followed; nil: from the file system.
	FileMode func(path string) (fs.FileMode, error)
}

func (e Env) getenv(key string) string {
	if e.Getenv == nil {
		return ""
	}
	return e.Getenv(key)
}

func (e Env) readFile(path string) ([]byte, error) {
	if e.ReadFile == nil {
		return regular.Read(path, MaxFileSize)
	}
	data, err := e.ReadFile(path)
	if err == nil && len(data) > MaxFileSize {
		return nil, fmt.Errorf("%s is larger than %d bytes; is it the right file?", path, MaxFileSize)
	}
	return data, err
}

func (e Env) fileMode(path string) (fs.FileMode, error) {
	if e.FileMode != nil {
		return e.FileMode(path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Mode(), nil
}

// Load reads and parses the configuration file at path. See [Parse] for its errors.
func Load(path string, env Env) (*Config, error) {
	data, err := env.readFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return Parse(data, path, env)
}

// Parse turns the text of a configuration file into a Config. Relative paths in it are relative to the directory of
// filename. The error joins one [Error] for each thing that is wrong: first what is not YAML, else what does not fit
// the schema, else what is not a sane value.
//
// A parsed Config is consistent in itself; run [Check] too before using it beside other clusters.
func Parse(data []byte, filename string, env Env) (*Config, error) {
	if len(data) > MaxFileSize {
		return nil, fmt.Errorf("%s: larger than %d bytes; is it the right file?", filename, MaxFileSize)
	}
	raw, d, err := decode(data, filename)
	if err != nil {
		return nil, err
	}
	v := &validator{src: d.src, env: env, dir: filepath.Dir(filename), places: d.places, files: []string{filename}}
	c := v.config(raw)
	if len(v.errs) > 0 {
		sortByPlace(v.errs)
		return nil, joinErrors(v.errs)
	}
	return c, nil
}

// Named lists the files that the configuration at path names, itself first, each once, as far as it can be read: those
// of a configuration that is refused as well, since mending one of them can be what it takes. kubeconfigs are those of
// them that are kubeconfigs, which may name files in turn.
func Named(path string, env Env) (files, kubeconfigs []string) {
	v := &validator{src: &source{file: path}, dir: filepath.Dir(path), files: []string{path}}
	data, err := env.readFile(path)
	if err != nil {
		return v.files, nil
	}
	r, _, syntax := read(data, path)
	if syntax != nil {
		return v.files, nil
	}
	named := []scalar{r.Cluster.ICPConfig, r.BIRD.PasswordFile, r.Metrics.WebConfigFile}
	for _, remote := range r.Remotes {
		named = append(named, remote.Nodes.HostsFile, remote.PasswordFile)
		if k := remote.Nodes.Kubernetes; k != nil && v.file(k.Kubeconfig) != "" {
			kubeconfigs = append(kubeconfigs, v.file(k.Kubeconfig))
		}
	}
	for _, s := range named {
		v.file(s)
	}
	return v.files, kubeconfigs
}

// decode fills the raw structs; the decoder it returns knows where everything stands.
func decode(data []byte, filename string) (*raw, *decoder, error) {
	out, d, syntax := read(data, filename)
	if syntax != nil {
		return nil, nil, syntax
	}
	if len(d.errs) > 0 {
		sortByPlace(d.errs)
		return nil, nil, joinErrors(d.errs)
	}
	return out, d, nil
}

// read fills the raw structs as far as the file fits them; the decoder has what does not.
func read(data []byte, filename string) (*raw, *decoder, *Error) {
	data = trimBOM(data)
	d := &decoder{src: newSource(filename, data), places: make(map[string]place)}
	root, syntax := parseYAML(d.src, place{}, data)
	if syntax != nil {
		return nil, nil, syntax
	}
	var out raw
	d.fill(reflect.ValueOf(&out).Elem(), root, place{line: 1, column: 1})
	return &out, d, nil
}

func trimBOM(data []byte) []byte {
	const bom = "\xef\xbb\xbf"
	if len(data) >= len(bom) && string(data[:len(bom)]) == bom {
		return data[len(bom):]
	}
	return data
}

// sortByPlace puts errors in the order of the file; those about no line come last.
func sortByPlace(errs []*Error) {
	slices.SortStableFunc(errs, func(a, b *Error) int {
		switch {
		case a.Line == b.Line:
			return a.Column - b.Column
		case a.Line == 0:
			return 1
		case b.Line == 0:
			return -1
		default:
			return a.Line - b.Line
		}
	})
}

func joinErrors(errs []*Error) error {
	out := make([]error, len(errs))
	for i, e := range errs {
		out[i] = e
	}
	return errors.Join(out...)
}
