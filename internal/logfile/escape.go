package logfile

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// escape writes as \x1b or \u2028 what is not to be seen as itself: control
// characters other than tab and newline, marks that turn the direction of text
// or break lines, and bytes that are not UTF-8.
func escape(s string) string {
	if clean(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case visible(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
		s = s[size:]
	}
	return b.String()
}

func clean(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !visible(r) }) < 0
}

func visible(r rune) bool { return r == '\t' || r == '\n' || unicode.IsGraphic(r) }

// oneLine is escape for what must not hold a newline either.
func oneLine(s string) string { return strings.ReplaceAll(escape(s), "\n", `\n`) }
