package image

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// machine is how an ELF file names an architecture.
type machine struct {
	elf.Machine
	elf.Data // byte order: ppc64 and ppc64le are one machine
}

func machines() map[string]machine {
	return map[string]machine{
		"amd64":   {elf.EM_X86_64, elf.ELFDATA2LSB},
		"arm64":   {elf.EM_AARCH64, elf.ELFDATA2LSB},
		"ppc64le": {elf.EM_PPC64, elf.ELFDATA2LSB},
		"s390x":   {elf.EM_S390, elf.ELFDATA2MSB},
	}
}

// Architectures lists those an image can be made for, as GOARCH names them.
func Architectures() []string { return slices.Sorted(maps.Keys(machines())) }

// checkBinary refuses what would not start in an empty root: another architecture's program, and one that needs a dynamic
// linker.
func checkBinary(arch string, program []byte) error {
	want, known := machines()[arch]
	if !known {
		return fmt.Errorf("not an architecture of the image; want one of %v", Architectures())
	}
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		return fmt.Errorf("not a program: %w", err)
	}
	if got := (machine{f.Machine, f.Data}); got != want {
		return fmt.Errorf("a program for %v, %v", got.Machine, got.Data)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return errors.New("a program that needs a dynamic linker, and an image has none: build it with CGO_ENABLED=0")
		}
	}
	return nil
}
