package image

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// program is the smallest that has a header as a static program for the architecture has.
func program(t *testing.T, arch string) []byte {
	t.Helper()
	m := machines()[arch]
	var order binary.ByteOrder = binary.LittleEndian
	if m.Data == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(m.Machine), Version: 1, Ehsize: 64, Phentsize: 56, Shentsize: 64}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(m.Data), 1
	var out bytes.Buffer
	must(t, binary.Write(&out, order, h))
	out.WriteString("what " + arch + " does")
	return out.Bytes()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func spec(t *testing.T) Spec {
	t.Helper()
	s := Spec{
		Version: "v1.2.3", Revision: strings.Repeat("ab", 20), Created: time.Date(2026, 3, 1, 12, 0, 0, 5, time.FixedZone("", 3600)),
		Binaries: map[string][]byte{},
	}
	for _, arch := range Architectures() {
		s.Binaries[arch] = program(t, arch)
	}
	return s
}

func pack(t *testing.T, s Spec) ([]byte, v1.Hash) {
	t.Helper()
	var out bytes.Buffer
	digest, err := Write(&out, s)
	must(t, err)
	return out.Bytes(), digest
}

// unpack unpacks an archive as a tool would that knows nothing of us.
func unpack(t *testing.T, archive []byte) layout.Path {
	t.Helper()
	dir := t.TempDir()
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		path := filepath.Join(dir, h.Name)
		if h.Typeflag == tar.TypeDir {
			must(t, os.Mkdir(path, 0o755))
			continue
		}
		data, err := io.ReadAll(r)
		must(t, err)
		must(t, os.WriteFile(path, data, 0o600))
	}
	path, err := layout.FromPath(dir)
	must(t, err)
	return path
}

// The archive is a valid layout with one image in it, for every architecture: all digests, sizes and types are right.
func TestArchive(t *testing.T) {
	archive, digest := pack(t, spec(t))
	root, err := unpack(t, archive).ImageIndex()
	must(t, err)
	must(t, validate.Index(root))
	manifest, err := root.IndexManifest()
	must(t, err)
	if len(manifest.Manifests) != 1 || manifest.Manifests[0].Digest != digest {
		t.Fatalf("the archive holds %+v, want the image %s alone", manifest.Manifests, digest)
	}
	if a := manifest.Manifests[0].Annotations; a["org.opencontainers.image.ref.name"] != "v1.2.3" || a["io.containerd.image.name"] != "localhost/routed:v1.2.3" {
		t.Errorf("it is called %v", a)
	}
	index, err := root.ImageIndex(digest)
	must(t, err)
	manifest, err = index.IndexManifest()
	must(t, err)
	var archs []string
	for _, m := range manifest.Manifests {
		archs = append(archs, m.Platform.OS+"/"+m.Platform.Architecture)
		img, err := index.Image(m.Digest)
		must(t, err)
		checkImage(t, img, m.Platform.Architecture)
	}
	if want := []string{"linux/amd64", "linux/arm64", "linux/ppc64le", "linux/s390x"}; !slices.Equal(archs, want) {
		t.Errorf("the image is for %v, want %v", archs, want)
	}
}

// checkImage: the program, executable, nobody's but root's, and nothing else.
func checkImage(t *testing.T, img v1.Image, arch string) {
	t.Helper()
	cfg, err := img.ConfigFile()
	must(t, err)
	if cfg.Architecture != arch || cfg.Config.User != "0:0" || !slices.Equal(cfg.Config.Entrypoint, []string{"/usr/bin/routed"}) {
		t.Errorf("%s: %+v", arch, cfg)
	}
	if l := cfg.Config.Labels; l["org.opencontainers.image.version"] != "v1.2.3" || l["org.opencontainers.image.created"] != "2026-03-01T11:00:00Z" ||
		l["org.opencontainers.image.revision"] != strings.Repeat("ab", 20) {
		t.Errorf("%s: labels %v", arch, l)
	}
	layers, err := img.Layers()
	must(t, err)
	if len(layers) != 1 {
		t.Fatalf("%s: %d layers", arch, len(layers))
	}
	content, err := layers[0].Uncompressed()
	must(t, err)
	defer content.Close()
	var names []string
	for r := tar.NewReader(content); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		names = append(names, h.Name)
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Mode != 0o755 || h.ModTime.Unix() != time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC).Unix() {
			t.Errorf("%s: %+v", arch, h)
		}
		if data, err := io.ReadAll(r); err != nil || h.Typeflag == tar.TypeReg && !bytes.Equal(data, program(t, arch)) {
			t.Errorf("%s: %s holds %q, %v", arch, h.Name, data, err)
		}
	}
	if want := []string{"usr/", "usr/bin/", "usr/bin/routed"}; !slices.Equal(names, want) {
		t.Errorf("%s: the layer holds %v, want %v", arch, names, want)
	}
}

// The same goes in, the same comes out, wherever and whenever; something else goes in, something else comes out.
func TestReproducible(t *testing.T) {
	first, digest := pack(t, spec(t))
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("TZ", "Asia/Tokyo")
	again, same := pack(t, spec(t))
	if !bytes.Equal(first, again) || digest != same {
		t.Errorf("two archives of the same: %s and %s", digest, same)
	}
	for name, change := range map[string]func(*Spec){
		"version":  func(s *Spec) { s.Version += "1" },
		"revision": func(s *Spec) { s.Revision = "c" },
		"created":  func(s *Spec) { s.Created = s.Created.Add(time.Second) },
		"binary":   func(s *Spec) { s.Binaries["arm64"] = append(s.Binaries["arm64"], 0) },
		"fewer":    func(s *Spec) { delete(s.Binaries, "s390x") },
	} {
		s := spec(t)
		change(&s)
		if _, other := pack(t, s); other == digest {
			t.Errorf("another %s, and the digest is the same", name)
		}
	}
}

func TestRefused(t *testing.T) {
	self, err := os.ReadFile("/proc/self/exe") // the race detector needs libc, and so a dynamic linker
	must(t, err)
	interpreted := map[string][]byte{runtime.GOARCH: self}
	for _, c := range []struct {
		binaries map[string][]byte
		want     string
	}{
		{nil, "without a binary"},
		{map[string][]byte{"riscv64": program(t, "amd64")}, "riscv64: not an architecture of the image"},
		{map[string][]byte{"amd64": []byte("#!/bin/sh\n")}, "amd64: not a program"},
		{map[string][]byte{"amd64": program(t, "arm64")}, "amd64: a program for EM_AARCH64"},
		{map[string][]byte{"amd64": program(t, "amd64"), "ppc64le": program(t, "s390x")}, "ppc64le: a program for EM_S390"},
		{interpreted, "needs a dynamic linker"},
	} {
		if c.want == "needs a dynamic linker" && !dynamic(t, self) {
			continue // this test was built without libc
		}
		_, err := Write(io.Discard, Spec{Version: "v1", Binaries: c.binaries})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

func dynamic(t *testing.T, program []byte) bool {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(program))
	must(t, err)
	return slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
}
