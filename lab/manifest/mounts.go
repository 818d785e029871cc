package manifest

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// mounts makes what the container's volumes hold, and mounts it.
func (n Node) mounts(pod corev1.PodSpec, container corev1.Container, root string) ([]string, error) {
	var args []string
	for _, m := range container.VolumeMounts {
		i := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
		if i < 0 || m.SubPath != "" || m.SubPathExpr != "" {
			return nil, fmt.Errorf("mount %s: no such volume, or a part of one", m.Name)
		}
		source, err := n.volume(pod.Volumes[i])
		if err != nil {
			return nil, fmt.Errorf("volume %s: %w", m.Name, err)
		}
		if err := os.MkdirAll(filepath.Join(root, m.MountPath), 0o755); err != nil {
			return nil, err
		}
		bind := "--bind"
		if m.ReadOnly {
			bind = "--ro-bind"
		}
		args = append(args, bind, source, m.MountPath)
	}
	return args, nil
}

// volume gives the folder that a volume is.
func (n Node) volume(v corev1.Volume) (string, error) {
	switch {
	case v.HostPath != nil:
		if v.HostPath.Type == nil || *v.HostPath.Type != corev1.HostPathDirectoryOrCreate {
			return "", errors.New("want a folder that is made when it is not there")
		}
		dir := filepath.Join(n.Dir, v.HostPath.Path)
		return dir, os.MkdirAll(dir, 0o755)
	case v.Projected != nil:
		return filepath.Join(n.Dir, "volumes", v.Name), n.Project(v)
	}
	return "", errors.New("a kind of volume that is not known here")
}

// Project writes the files of a projected volume, and replaces those of before in one step, as a kubelet does.
func (n Node) Project(v corev1.Volume) error {
	files := map[string]string{}
	for _, s := range v.Projected.Sources {
		var from map[string]map[string]string
		var name string
		var optional *bool
		switch {
		case s.ConfigMap != nil && s.ConfigMap.Items == nil:
			from, name, optional = n.ConfigMaps, s.ConfigMap.Name, s.ConfigMap.Optional
		case s.Secret != nil && s.Secret.Items == nil:
			from, name, optional = n.Secrets, s.Secret.Name, s.Secret.Optional
		default:
			return fmt.Errorf("%+v is not known here", s)
		}
		data, ok := from[name]
		if !ok && (optional == nil || !*optional) {
			return fmt.Errorf("there is no %s, and it is not optional", name)
		}
		maps.Copy(files, data)
	}
	return swap(filepath.Join(n.Dir, "volumes", v.Name), files, os.FileMode(*v.Projected.DefaultMode))
}

// swap makes each file a link into ..data, a link that is replaced by rename.
func swap(dir string, files map[string]string, mode os.FileMode) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	data, err := os.MkdirTemp(dir, "..data_")
	if err != nil {
		return err
	}
	for name, text := range files {
		link := filepath.Join(dir, name)
		if err := os.WriteFile(filepath.Join(data, name), []byte(text), mode); err != nil {
			return err
		}
		if err := os.Symlink(filepath.Join("..data", name), link); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	next := filepath.Join(dir, "..data_tmp")
	if err := os.Symlink(filepath.Base(data), next); err != nil {
		return err
	}
	return os.Rename(next, filepath.Join(dir, "..data"))
}
