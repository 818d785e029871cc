package text

// Options says how to write.
type Options struct {
	Colour bool // ANSI colours; the caller knows whether a terminal is there and whether NO_COLOR is set
	Wrap   bool // of [Pairs]; the other pages are always wrapped
}

// style is how a piece of text looks (ECMA-48, SGR), when colour is asked for.
type style string

const (
	plain  style = ""
	bold   style = "1"
	faint  style = "2"
	bad    style = "31"
	good   style = "32"
	warn   style = "33"
	urgent style = "1;31"
)

// paint colours s.
func (o Options) paint(st style, s string) string {
	if !o.Colour || st == plain || s == "" {
		return s
	}
	return "\x1b[" + string(st) + "m" + s + "\x1b[0m"
}

func goodIf(ok bool) style {
	if ok {
		return good
	}
	return bad
}

// warnIf marks a number that should be zero.
func warnIf[T int | uint64](n T) style {
	if n > 0 {
		return warn
	}
	return plain
}
