package main

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDeletionIsAsLongAsItSays(t *testing.T) {
	b := appendDeletion(nil, block(5), 1790, 114, 7, true)
	if len(b) != deletionLen || len(b)%unix.NLMSG_ALIGNTO != 0 {
		t.Errorf("%d bytes, want %d", len(b), deletionLen)
	}
	two := appendDeletion(appendDeletion(nil, block(5), 1790, 114, 7, true), block(5), 1790, 114, 7, true)
	if !bytes.Equal(two, append(b, b...)) {
		t.Error("the second of two is another")
	}
}
