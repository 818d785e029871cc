package peering

import (
	"fmt"
	"io"
	"unique"
)

// Password is the shared secret of TCP MD5 signatures (RFC 2385). The zero Password is none: the session is not signed.
//
// It can be compared with == and is never printed: every way to put it into text gives [hidden], and where fmt cannot
// call a method, in an unexported field, it finds a pointer only.
type Password struct{ secret unique.Handle[string] }

// hidden is what a Password looks like.
const hidden = "[hidden]"

// NewPassword keeps a secret; the empty one is none.
func NewPassword(secret string) Password {
	if secret == "" {
		return Password{}
	}
	return Password{unique.Make(secret)}
}

// IsSet reports whether there is one.
func (p Password) IsSet() bool { return p != Password{} }

// Secret is the password itself, for who has to give it to the kernel.
func (p Password) Secret() string {
	if !p.IsSet() {
		return ""
	}
	return p.secret.Value()
}

// Equal is ==, in the form that libraries look for.
func (p Password) Equal(q Password) bool { return p == q }

// String implements [fmt.Stringer].
func (p Password) String() string {
	if !p.IsSet() {
		return ""
	}
	return hidden
}

// Format implements [fmt.Formatter]: whatever the verb, the same.
func (p Password) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.String()) }

// MarshalText implements [encoding.TextMarshaler]; log/slog uses it.
func (p Password) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// MarshalJSON implements [encoding/json.Marshaler].
func (p Password) MarshalJSON() ([]byte, error) { return []byte(`"` + p.String() + `"`), nil }
