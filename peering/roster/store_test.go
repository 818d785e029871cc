package roster

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestStore(t *testing.T) {
	s := Store{Dir: filepath.Join(t.TempDir(), "lib", "routed")}
	if _, err := s.Load("cluster-2"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before the first: %v", err)
	}
	if err := s.Remove("cluster-2"); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"9.1.1.1=a fd00::1=a", "9.1.1.2"} {
		nodes, err := Parse("", []byte(strings.NewReplacer("=", "\t", " ", "\n").Replace(want)))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Save("cluster-2", nodes, time.Unix(0, 0)); err != nil {
			t.Fatal(err)
		}
		got, err := s.Load("cluster-2")
		if err != nil || list(got) != want {
			t.Errorf("%s, %v; want %s", list(got), err, want)
		}
	}
	entries, err := os.ReadDir(s.Dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%v, %v; want the one file", entries, err)
	}
	if err := s.Remove("cluster-2"); err != nil {
		t.Error(err)
	}
	if _, err := s.Load("cluster-2"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after it was removed: %v", err)
	}
}

// A list that cannot be written leaves the one before it.
func TestStoreKeepsTheOldList(t *testing.T) {
	dir := t.TempDir()
	s := Store{Dir: dir}
	old := []Node{{Addr: mustAddr(t, "9.1.1.1")}}
	if err := s.Save("c", old, time.Now()); err != nil {
		t.Fatal(err)
	}
	blocked := Store{Dir: filepath.Join(s.Path("c"), "sub")} // below a file
	if err := blocked.Save("c", old, time.Now()); err == nil || !strings.Contains(err.Error(), "keep the nodes of c") {
		t.Errorf("saved below a file: %v", err)
	}
	if got, err := s.Load("c"); err != nil || list(got) != list(old) {
		t.Errorf("%s, %v", list(got), err)
	}
}

func TestStoreLoadsNothingBroken(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	for _, text := range []string{"", "# only\n", "x\n", "9.1.1.1 a\n\x00\n", strings.Repeat("9", 1<<20)} {
		if err := os.WriteFile(s.Path("c"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if nodes, err := s.Load("c"); err == nil || len(nodes) > 0 {
			t.Errorf("%.20q: %v, %v", text, nodes, err)
		}
	}
}

// TestStoreKeepsEveryAddress: whatever the nodes are called, their addresses come back, and nobody else's.
func TestStoreKeepsEveryAddress(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	rapid.Check(t, func(t *rapid.T) {
		want := Merge(nodes().Draw(t, "nodes"))
		for i := range want {
			want[i].Name = rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z.=\[\]:#;-]{0,9}`)).Draw(t, "name")
		}
		if len(want) == 0 {
			return
		}
		if err := s.Save("c", want, time.Now()); err != nil {
			t.Fatal(err)
		}
		got, err := s.Load("c")
		if err != nil || len(got) != len(want) {
			t.Fatalf("%v, %v; want %v", got, err, want)
		}
		for i := range got {
			if got[i].Addr != want[i].Addr || got[i].Name != storable(want[i].Name) {
				t.Fatalf("%v, want %v", got[i], want[i])
			}
		}
	})
}
