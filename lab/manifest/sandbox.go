package manifest

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Node is where a pod runs.
type Node struct {
	Dir        string                       // where the node's own folders are: its /run is Dir/run
	IPs        []netip.Addr                 // status.hostIPs
	ConfigMaps map[string]map[string]string // what the pod's namespace has, by name and key
	Secrets    map[string]map[string]string
}

// Command gives the command line of bubblewrap (bwrap) that runs a container of the pod with the image unpacked at root, and
// config as the image says it is run. The mount points in root are made, as a container runtime makes them.
func (n Node) Command(pod corev1.PodSpec, container corev1.Container, root string, config ImageConfig) ([]string, error) {
	if err := checkPod(pod); err != nil {
		return nil, err
	}
	args := []string{
		"bwrap", "--unshare-pid", "--as-pid-1", "--unshare-ipc", "--unshare-uts", "--clearenv",
		"--ro-bind", root, "/", "--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", "--dev", "/dev", "--ro-bind", "/sys", "/sys",
	}
	for _, point := range []string{"proc", "dev", "sys"} {
		if err := os.MkdirAll(filepath.Join(root, point), 0o755); err != nil {
			return nil, err
		}
	}
	for _, part := range []func() ([]string, error){
		func() ([]string, error) { return privileges(container.SecurityContext) },
		func() ([]string, error) { return n.environment(container, config.Env) },
		func() ([]string, error) { return n.mounts(pod, container, root) },
	} {
		more, err := part()
		if err != nil {
			return nil, fmt.Errorf("container %s: %w", container.Name, err)
		}
		args = append(args, more...)
	}
	args = append(append(args, "--chdir", "/", "--"), config.Entrypoint...)
	if container.Command != nil {
		return nil, fmt.Errorf("container %s: command is not expected here", container.Name)
	}
	if container.Args != nil {
		return append(args, container.Args...), nil
	}
	return append(args, config.Cmd...), nil
}

// ImageConfig is what an image says of how it is run.
type ImageConfig struct {
	Entrypoint, Cmd, Env []string
}

// checkPod refuses what a pod may not be for its containers to be run like this.
func checkPod(pod corev1.PodSpec) error {
	sc := pod.SecurityContext
	switch {
	case !pod.HostNetwork:
		return errors.New("a pod with a network of its own")
	case pod.HostPID || pod.HostIPC:
		return errors.New("a pod that sees the node's processes")
	case sc == nil || sc.SeccompProfile == nil || sc.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault:
		return errors.New("a pod without the runtime's seccomp profile")
	case sc.RunAsUser != nil || sc.FSGroup != nil || len(sc.SupplementalGroups) > 0:
		return errors.New("a pod with users of its own is not known here")
	}
	return nil
}

// privileges: bubblewrap itself forbids to gain any.
func privileges(sc *corev1.SecurityContext) ([]string, error) {
	is := func(b *bool, want bool) bool { return b != nil && *b == want }
	switch {
	case sc == nil || sc.RunAsUser == nil || *sc.RunAsUser != 0 || sc.RunAsGroup == nil || *sc.RunAsGroup != 0:
		return nil, errors.New("want root without a doubt")
	case !is(sc.ReadOnlyRootFilesystem, true) || !is(sc.AllowPrivilegeEscalation, false) || !is(sc.Privileged, false):
		return nil, errors.New("want a read-only root, and no privileges beyond those given")
	case sc.Capabilities == nil || !slices.Equal(sc.Capabilities.Drop, []corev1.Capability{"ALL"}):
		return nil, errors.New("want all capabilities dropped")
	}
	args := []string{"--cap-drop", "ALL"}
	for _, c := range sc.Capabilities.Add {
		args = append(args, "--cap-add", "CAP_"+string(c))
	}
	return args, nil
}

func (n Node) environment(container corev1.Container, image []string) ([]string, error) {
	env := map[string]string{}
	for _, kv := range image {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	for _, e := range container.Env {
		value, err := n.value(container, e)
		if err != nil {
			return nil, fmt.Errorf("env %s: %w", e.Name, err)
		}
		env[e.Name] = value
	}
	var args []string
	for _, k := range slices.Sorted(maps.Keys(env)) {
		args = append(args, "--setenv", k, env[k])
	}
	return args, nil
}

func (n Node) value(container corev1.Container, e corev1.EnvVar) (string, error) {
	from := e.ValueFrom
	switch {
	case from == nil:
		return e.Value, nil
	case from.FieldRef != nil && from.FieldRef.FieldPath == "status.hostIP":
		return n.IPs[0].String(), nil
	case from.FieldRef != nil && from.FieldRef.FieldPath == "status.hostIPs":
		var all []string
		for _, ip := range n.IPs {
			all = append(all, ip.String())
		}
		return strings.Join(all, ","), nil
	case from.ResourceFieldRef != nil && from.ResourceFieldRef.Resource == "limits.memory" && from.ResourceFieldRef.Divisor.IsZero():
		return strconv.FormatInt(container.Resources.Limits.Memory().Value(), 10), nil
	}
	return "", fmt.Errorf("%+v is not known here", from)
}
