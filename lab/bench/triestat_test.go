package main

import "testing"

const triestat = `Basic info: size of leaf: 48 bytes, size of tnode: 40 bytes.
Id 1790:
	Aver depth:     2.50
	Max depth:      3
	Leaves:         99999
	Prefixes:       100000
	Internal nodes: 2
	  1: 1  2: 1
	Pointers: 6
Null ptrs: 2
Total size: 1  kB
Main:
	Leaves:         0
	Prefixes:       7
Null ptrs: 0
Total size: 0  kB
Local:
	Leaves:         3
	Prefixes:       3
Null ptrs: 2
Total size: 1  kB
`

func TestTriestatPrefixes(t *testing.T) {
	for table, want := range map[string]int{"Id 1790": 100000, "Main": 7, "Local": 3, "Id 17": 0} {
		if got, err := triestatPrefixes([]byte(triestat), table); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", table, got, err, want)
		}
	}
	if _, err := triestatPrefixes([]byte("Main:\n\tPrefixes:\tmany\n"), "Main"); err == nil {
		t.Error("no error for a number that is none")
	}
}
