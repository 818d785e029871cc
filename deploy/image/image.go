package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Binary is where the program is in the image; its folder is the image's PATH.
const Binary = "/usr/bin/routed"

// Spec is all that an image is made of.
type Spec struct {
	Version  string            // of the program, and the image's tag
	Revision string            // the commit it was built from
	Created  time.Time         // the commit's time; whole seconds count
	Binaries map[string][]byte // the program by architecture, as GOARCH names it; at least one
}

// Index makes the image. The error names the architecture whose binary will not do.
func Index(s Spec) (v1.ImageIndex, error) {
	if len(s.Binaries) == 0 {
		return nil, fmt.Errorf("an image without a binary: want one of %v at least", Architectures())
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range slices.Sorted(maps.Keys(s.Binaries)) {
		img, err := s.image(arch)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", arch, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	annotated, ok := mutate.Annotations(index, s.labels()).(v1.ImageIndex)
	if !ok {
		return nil, fmt.Errorf("an annotated index is %T", annotated)
	}
	return annotated, nil
}

// image is the image of one architecture: one layer, with nothing but the program.
func (s Spec) image(arch string) (v1.Image, error) {
	program := s.Binaries[arch]
	if err := checkBinary(arch, program); err != nil {
		return nil, err
	}
	files, err := s.files(program)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files)), nil },
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching) // compressed once, not each time that it is asked for
	if err != nil {
		return nil, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.Append(base, mutate.Addendum{
		Layer: layer, History: v1.History{Created: v1.Time{Time: s.created()}, CreatedBy: "make image"},
	})
	if err != nil {
		return nil, err
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture, cfg.Created = "linux", arch, v1.Time{Time: s.created()}
	cfg.Config = s.config()
	return mutate.ConfigFile(img, cfg)
}

// config is how the program is run. As root, because Kubernetes gives the capabilities that it adds to nobody else; the
// manifests drop all of root's but CAP_NET_ADMIN.
func (s Spec) config() v1.Config {
	return v1.Config{
		Entrypoint: []string{Binary},
		Cmd:        []string{"run"},
		Env:        []string{"PATH=/usr/bin"},
		User:       "0:0",
		WorkingDir: "/",
		Labels:     s.labels(),
	}
}

// labels are the annotations of the OCI image specification, on the index and as labels of each image.
func (s Spec) labels() map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":       "routed",
		"org.opencontainers.image.description": "Pod routes between Kubernetes clusters, on every node",
		"org.opencontainers.image.version":     s.Version,
		"org.opencontainers.image.revision":    s.Revision,
		"org.opencontainers.image.created":     s.created().Format(time.RFC3339),
		"org.opencontainers.image.licenses":    "Apache-2.0",
	}
}

func (s Spec) created() time.Time { return s.Created.UTC().Truncate(time.Second) }

// files is the layer: the program and the folders on the way to it.
func (s Spec) files(program []byte) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range []tar.Header{
		{Typeflag: tar.TypeDir, Name: "usr/", Mode: 0o755},
		{Typeflag: tar.TypeDir, Name: "usr/bin/", Mode: 0o755},
		{Typeflag: tar.TypeReg, Name: Binary[1:], Mode: 0o755, Size: int64(len(program))},
	} {
		h.ModTime = s.created()
		if err := w.WriteHeader(&h); err != nil {
			return nil, err
		}
	}
	if _, err := w.Write(program); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
