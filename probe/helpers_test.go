package probe

import (
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"routed/lab"
)

func TestMain(m *testing.M) { os.Exit(lab.Main(m)) }

// reporterOf is what testing.T and rapid.T have in common.
type reporterOf interface {
	Helper()
	Errorf(format string, args ...any)
}

// equal compares; what says what was compared.
func equal[T any](t reporterOf, want, got T, what ...any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s(-want +got): %s", fmt.Sprintln(what...), diff)
	}
}

// check is for what is no equality.
func check(t reporterOf, ok bool, what ...any) {
	t.Helper()
	if !ok {
		t.Errorf("not as it must be: %s", fmt.Sprintln(what...))
	}
}

// within reports whether got is no further than off from want.
func within(want, got, off int) bool { return got >= want-off && got <= want+off }
