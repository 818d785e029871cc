package config

import (
	"bytes"
	"fmt"
	"slices"

	"routed/peering"
)

const (
	// maxPassword is the longest key of TCP MD5 the kernel takes (TCP_MD5SIG_MAXKEYLEN).
	maxPassword = 80
	// secretMode are the permissions a file with a password may have at most.
	secretMode = 0o640
)

// password gives the password of two keys, of which at most one may be set. No message shows any of it.
func (v *validator) password(inline, file scalar) peering.Password {
	switch {
	case inline.empty() && file.empty():
		return peering.Password{}
	case !inline.empty() && !file.empty():
		v.fail(file.place, "set beside %s (line %d); at most one of the two", inline.key, inline.line)
		return peering.Password{}
	case !inline.empty():
		if inline.kind != kindText {
			v.fail(inline.place, "is not text; put it in quotes")
			return peering.Password{}
		}
		v.checkMode(v.files[0])
		return v.secret(inline.place, inline.text)
	}
	path := v.file(file)
	if path == "" {
		return peering.Password{}
	}
	data, err := v.env.readFile(path)
	if err != nil {
		v.fail(file.place, "%v", err)
		return peering.Password{}
	}
	v.checkMode(path)
	data = bytes.TrimSuffix(data, []byte("\n"))
	return v.secret(file.place, string(bytes.TrimSuffix(data, []byte("\r"))))
}

// secret judges a password. Beyond ASCII, what one side types is not always what the other reads.
func (v *validator) secret(at place, text string) peering.Password {
	if len(text) < 1 || len(text) > maxPassword {
		v.fail(at, "a password of %d bytes; 1 to %d", len(text), maxPassword)
		return peering.Password{}
	}
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			v.fail(at, "byte %d of the password is not a printable ASCII character", i+1)
			return peering.Password{}
		}
	}
	return peering.NewPassword(text)
}

// checkMode warns of a file with a password that more than its owner and group can read.
func (v *validator) checkMode(path string) {
	mode, err := v.env.fileMode(path)
	if err != nil || mode.Perm()&^secretMode == 0 {
		return
	}
	w := fmt.Sprintf("%s has a password and mode %04o; more than %04o lets others read or change it", path, mode.Perm(), secretMode)
	if !slices.Contains(v.warnings, w) {
		v.warnings = append(v.warnings, w)
	}
}
