package image

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// Name is what the image is called on a host that it is loaded on without a registry.
const Name = "localhost/routed"

// Write writes the image as an OCI archive (an OCI image layout in a tar file), which skopeo, podman, containerd, nerdctl and
// crane read. It returns the digest of the image, by which a registry will know it.
func Write(w io.Writer, s Spec) (v1.Hash, error) {
	index, err := Index(s)
	if err != nil {
		return v1.Hash{}, err
	}
	dir, err := os.MkdirTemp("", "routed-image-")
	if err != nil {
		return v1.Hash{}, err
	}
	defer os.RemoveAll(dir)
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return v1.Hash{}, err
	}
	err = path.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": s.Version,              // what skopeo and podman choose by
		"io.containerd.image.name":          Name + ":" + s.Version, // what containerd and Docker call it
	}))
	if err != nil {
		return v1.Hash{}, err
	}
	if err := archive(w, os.DirFS(dir), s.created()); err != nil {
		return v1.Hash{}, fmt.Errorf("write the archive: %w", err)
	}
	return index.Digest()
}

// archive writes the files of a folder in the order of their names, all with one time and nobody's.
func archive(w io.Writer, files fs.FS, at time.Time) error {
	out := tar.NewWriter(w)
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		h := tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, ModTime: at}
		if d.IsDir() {
			return out.WriteHeader(&h)
		}
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		h = tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, ModTime: at, Size: int64(len(data))}
		if err := out.WriteHeader(&h); err != nil {
			return err
		}
		_, err = out.Write(data)
		return err
	})
	if err != nil {
		return err
	}
	return out.Close()
}
