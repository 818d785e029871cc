package manifest

import (
	"fmt"
	"os"
	"path/filepath"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// Set is what a kustomization gives, by kind.
type Set struct {
	Namespaces          []*corev1.Namespace
	ServiceAccounts     []*corev1.ServiceAccount
	Secrets             []*corev1.Secret
	ConfigMaps          []*corev1.ConfigMap
	ClusterRoles        []*rbacv1.ClusterRole
	ClusterRoleBindings []*rbacv1.ClusterRoleBinding
	DaemonSets          []*appsv1.DaemonSet
}

// RenderWith is Render of the folder's kustomization with components put to it, each by its folder.
func RenderWith(dir string, components ...string) (*Set, error) {
	temp, err := os.MkdirTemp("", "routed-kustomize-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp)
	own := types.Kustomization{TypeMeta: types.TypeMeta{APIVersion: types.KustomizationVersion, Kind: types.KustomizationKind}}
	for _, path := range append([]string{dir}, components...) {
		abs, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		rel, err := filepath.Rel(temp, abs) // kustomize takes no others
		if err != nil {
			return nil, err
		}
		if path == dir {
			own.Resources = append(own.Resources, rel)
		} else {
			own.Components = append(own.Components, rel)
		}
	}
	text, err := yaml.Marshal(own)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(temp, "kustomization.yaml"), text, 0o600); err != nil {
		return nil, err
	}
	return Render(temp)
}

// Render builds the kustomization of a folder, as `kubectl kustomize` does. Fields that the API does not know, and kinds that
// Set does not, are errors.
func Render(dir string) (*Set, error) {
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, err
	}
	set := &Set{}
	for _, r := range resources.Resources() {
		text, err := r.AsYAML()
		if err == nil {
			err = set.add(r.GetGvk().String(), text)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", dir, r.CurId(), err)
		}
	}
	return set, nil
}

func (s *Set) add(kind string, text []byte) error {
	switch kind {
	case "Namespace.v1.[noGrp]":
		return decode(text, &s.Namespaces)
	case "ServiceAccount.v1.[noGrp]":
		return decode(text, &s.ServiceAccounts)
	case "Secret.v1.[noGrp]":
		return decode(text, &s.Secrets)
	case "ConfigMap.v1.[noGrp]":
		return decode(text, &s.ConfigMaps)
	case "ClusterRole.v1.rbac.authorization.k8s.io":
		return decode(text, &s.ClusterRoles)
	case "ClusterRoleBinding.v1.rbac.authorization.k8s.io":
		return decode(text, &s.ClusterRoleBindings)
	case "DaemonSet.v1.apps":
		return decode(text, &s.DaemonSets)
	default:
		return fmt.Errorf("%s is not expected here", kind)
	}
}

func decode[T any](text []byte, into *[]*T) error {
	one := new(T)
	if err := yaml.UnmarshalStrict(text, one); err != nil {
		return err
	}
	*into = append(*into, one)
	return nil
}
