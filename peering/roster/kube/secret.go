package kube

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"
)

// manifest is as much of a Secret as matters here. What it holds is never shown.
type manifest struct {
	Kind       string            `json:"kind"`
	Data       map[string]string `json:"data"` // base64
	StringData map[string]string `json:"stringData"`
}

// parse reads a kubeconfig, or the manifest of a Secret with one kubeconfig in it, in YAML or JSON.
func parse(data []byte) (config *api.Config, isSecret bool, err error) {
	doc, err := onlyDocument(data)
	if err != nil {
		return nil, false, err
	}
	var m manifest
	if err := yaml.Unmarshal(doc, &struct {
		Kind *string `json:"kind"`
	}{&m.Kind}); err != nil {
		return nil, false, notYAML(err)
	}
	isSecret = m.Kind == "Secret"
	if isSecret {
		if err := yaml.Unmarshal(doc, &m); err != nil {
			return nil, true, errors.New("not a Secret: data and stringData map names to text")
		}
		if doc, err = m.kubeconfig(); err != nil {
			return nil, true, err
		}
	}
	config, err = clientcmd.Load(doc)
	if err != nil {
		return nil, isSecret, notKubeconfig(err)
	}
	return config, isSecret, nil
}

// notYAML keeps of a YAML error where it is, not what stands there.
func notYAML(err error) error {
	if _, at, ok := strings.Cut(err.Error(), "yaml: line "); ok {
		number, _, _ := strings.Cut(at, ":")
		return fmt.Errorf("not YAML: line %s", number)
	}
	return errors.New("not a YAML mapping")
}

// notKubeconfig keeps of a decoding error the field, not its value.
func notKubeconfig(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("not a kubeconfig: %s is not %s", wrong.Field, wrong.Type)
	}
	return errors.New("not a kubeconfig (kind: Config), nor a Secret with one in it")
}

// onlyDocument gives the one YAML document in a file that is not empty: istioctl ends its output with a separator.
func onlyDocument(data []byte) ([]byte, error) {
	var only []byte
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, errors.New("not YAML documents")
		}
		if !significant(doc) {
			continue
		}
		if only != nil {
			return nil, errors.New("more than one YAML document; one file is one kubeconfig or one Secret")
		}
		only = doc
	}
	if only == nil {
		return nil, errors.New("empty")
	}
	return only, nil
}

// significant reports whether there is a line that is neither blank nor a comment.
func significant(doc []byte) bool {
	for line := range bytes.Lines(doc) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' && !bytes.Equal(line, []byte("---")) {
			return true
		}
	}
	return false
}

// kubeconfig gives the text of the only entry. As in the API, stringData wins over data.
func (m manifest) kubeconfig() ([]byte, error) {
	entries := map[string]string{}
	for name, text := range m.Data {
		plain, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
		if err != nil {
			return nil, fmt.Errorf("data[%q] of the Secret is not base64", name)
		}
		entries[name] = string(plain)
	}
	maps.Copy(entries, m.StringData)
	names := slices.Sorted(maps.Keys(entries))
	switch len(names) {
	case 0:
		return nil, errors.New("the Secret holds nothing; want one kubeconfig in data or stringData")
	case 1:
		return []byte(entries[names[0]]), nil
	default:
		return nil, fmt.Errorf("the Secret holds %d entries, %s; want one kubeconfig", len(names), quoted(names))
	}
}

// quoted lists a few names.
func quoted(names []string) string {
	const most = 4
	var out []string
	for _, n := range names[:min(len(names), most)] {
		out = append(out, fmt.Sprintf("%.64q", n))
	}
	if len(names) > most {
		out = append(out, "…")
	}
	return strings.Join(out, ", ")
}
