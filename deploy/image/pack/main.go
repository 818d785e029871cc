// Command pack puts built binaries into a container image, an OCI archive:
//
//	pack -version v1.2.3 -revision COMMIT -created SECONDS -o FILE ARCH=BINARY…
//
// ARCH is amd64, arm64, ppc64le or s390x. The same arguments and binaries give the same file, byte by byte.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"routed/deploy/image"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("pack", flag.ContinueOnError)
	spec := image.Spec{Binaries: map[string][]byte{}}
	flags.StringVar(&spec.Version, "version", "", "version of the program, the image's tag")
	flags.StringVar(&spec.Revision, "revision", "", "commit it was built from")
	created := flags.Int64("created", 0, "time of that commit, in seconds since 1970")
	out := flags.String("o", "", "the file to write")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if spec.Version == "" || spec.Revision == "" || *created == 0 || *out == "" {
		return errors.New("-version, -revision, -created and -o are all needed")
	}
	spec.Created = time.Unix(*created, 0)
	for _, arg := range flags.Args() {
		arch, path, ok := strings.Cut(arg, "=")
		if !ok {
			return fmt.Errorf("%q is not ARCH=BINARY", arg)
		}
		program, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		spec.Binaries[arch] = program
	}
	return write(*out, spec)
}

// write leaves the whole file there or none.
func write(path string, spec image.Spec) error {
	f, err := os.Create(path + ".part")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	digest, err := image.Write(f, spec)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	fmt.Printf("%s: %s:%s, %s\n", path, image.Name, spec.Version, digest)
	return nil
}
