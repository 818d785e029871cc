package manifest

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
)

// Unpack puts the files of the image in an OCI archive that is for the architecture into a folder that is empty, and tells how
// the image says it is run.
func Unpack(archive io.Reader, arch, into string) (ImageConfig, error) {
	files, err := os.MkdirTemp("", "routed-layout-")
	if err != nil {
		return ImageConfig{}, err
	}
	defer os.RemoveAll(files)
	if err := untar(archive, files); err != nil {
		return ImageConfig{}, err
	}
	img, err := find(files, arch)
	if err != nil {
		return ImageConfig{}, err
	}
	content := mutate.Extract(img)
	if err := errors.Join(untar(content, into), content.Close()); err != nil {
		return ImageConfig{}, err
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return ImageConfig{}, err
	}
	return ImageConfig{Entrypoint: cfg.Config.Entrypoint, Cmd: cfg.Config.Cmd, Env: cfg.Config.Env}, nil
}

// find gives the image for an architecture: the layout has one index, of the image for all of them.
func find(dir, arch string) (v1.Image, error) {
	path, err := layout.FromPath(dir)
	if err != nil {
		return nil, err
	}
	root, err := path.ImageIndex()
	if err != nil {
		return nil, err
	}
	manifest, err := root.IndexManifest()
	if err != nil {
		return nil, err
	}
	if len(manifest.Manifests) != 1 {
		return nil, fmt.Errorf("%d images in the archive, want one", len(manifest.Manifests))
	}
	index, err := root.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		return nil, err
	}
	images, err := partial.FindImages(index, func(d v1.Descriptor) bool {
		return d.Platform != nil && d.Platform.OS == "linux" && d.Platform.Architecture == arch
	})
	if err != nil {
		return nil, err
	}
	if len(images) != 1 {
		return nil, fmt.Errorf("%d images for linux/%s, want one", len(images), arch)
	}
	return images[0], nil
}

// untar unpacks folders and files; the archives here hold nothing else.
func untar(archive io.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for r := tar.NewReader(archive); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch name := filepath.Clean(h.Name); h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(name, h.FileInfo().Mode().Perm())
		case tar.TypeReg:
			err = write(root, name, h.FileInfo().Mode().Perm(), r)
		default:
			err = fmt.Errorf("%s is neither a file nor a folder", h.Name)
		}
		if err != nil {
			return err
		}
	}
}

func write(root *os.Root, name string, mode os.FileMode, from io.Reader) error {
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}
