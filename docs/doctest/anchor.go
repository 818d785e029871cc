package doctest

import (
	"strings"
	"unicode"
)

// Anchor is the fragment that GitHub gives a heading: in small letters, without what is neither letter, number, hyphen nor
// space, in any script, and with hyphens for the spaces (github.com/gjtorikian/html-pipeline, TableOfContentsFilter).
func Anchor(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc):
			return r
		default:
			return -1
		}
	}, strings.ToLower(strings.TrimSpace(title)))
}
