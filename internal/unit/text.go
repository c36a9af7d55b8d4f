// Package unit writes systemd's unit files: their text, what may be a name, and
// a tree of files and links as a generator leaves it (systemd.generator(7)). It
// knows nothing of backups, reads no clock, and may import no package of this
// module.
package unit

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// File is the text of one unit or drop-in. The zero value is empty.
type File struct{ b []byte }

// Reset empties the file, so that the next one is written where this one was.
func (f *File) Reset() { f.b = f.b[:0] }

// Comment adds a line that systemd does not read.
func (f *File) Comment(text string) {
	f.b = append(f.b, "# "...)
	f.b = append(f.b, printable(text)...)
	f.b = append(f.b, '\n')
}

// Section begins a section.
func (f *File) Section(name string) {
	f.b = append(f.b, "\n["...)
	f.b = append(f.b, name...)
	f.b = append(f.b, "]\n"...)
}

// Set adds a line key=value. The value is in systemd's own syntax; see [Text],
// [Paths] and [Input] for what is not.
func (f *File) Set(key, value string) {
	f.b = append(f.b, key...)
	f.b = append(f.b, '=')
	f.b = append(f.b, value...)
	f.b = append(f.b, '\n')
}

// String is the file as it is to be written.
func (f *File) String() string { return string(f.b) }

// Text is a value that systemd takes as it stands but for specifiers, as it does
// with Description= and OnCalendar= (systemd.unit(5), "Specifiers"). What cannot
// stand there, line ends and control characters above all, becomes a blank.
func Text(s string) string {
	s = printable(s)
	if strings.HasSuffix(s, `\`) { // would continue on the next line
		s += "."
	}
	return strings.ReplaceAll(s, "%", "%%")
}

// printable replaces what a line of a unit file cannot hold, or nobody can see.
func printable(s string) string {
	clean := func(r rune) bool { return r != utf8.RuneError && unicode.IsPrint(r) }
	for _, r := range s {
		if !clean(r) {
			return strings.TrimSpace(strings.Map(func(r rune) rune {
				if clean(r) {
					return r
				}
				return ' '
			}, s))
		}
	}
	return strings.TrimSpace(s)
}

// Paths is a list of paths for RequiresMountsFor=, quoted where it has to be. A
// backslash stands for itself there, so quotes are the only means; see
// [CanBePath].
func Paths(paths []string) string {
	var b strings.Builder
	for i, p := range paths {
		if i > 0 {
			b.WriteByte(' ')
		}
		quotePath(&b, p)
	}
	return b.String()
}

func quotePath(b *strings.Builder, p string) {
	p = strings.ReplaceAll(p, "%", "%%")
	if !strings.ContainsAny(p, " '\"") {
		b.WriteString(p)
		return
	}
	for i, part := range strings.Split(p, "'") {
		if i > 0 {
			b.WriteString(`"'"`)
		}
		if part != "" {
			b.WriteString("'" + part + "'")
		}
	}
}

// CanBePath reports whether an absolute path can stand in a unit file at all: in
// UTF-8, without control characters, not too long, and without a backslash at
// its end, which would continue the line.
func CanBePath(p string) bool {
	const pathMax = 4096 // limits.h
	return strings.HasPrefix(p, "/") && len(p) < pathMax && utf8.ValidString(p) && !strings.HasSuffix(p, `\`) &&
		strings.IndexFunc(p, unicode.IsControl) < 0
}

// Input is one line of StandardInputText=, which knows the escapes of C and
// specifiers (systemd.exec(5)).
func Input(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError || !unicode.IsPrint(r):
			for _, c := range []byte(s[i : i+n]) {
				if c == 0 {
					c = ' '
				}
				fmt.Fprintf(&b, `\x%02x`, c)
			}
		case r == '%':
			b.WriteString("%%")
		case r == '\\':
			b.WriteString(`\\`)
		default:
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}

// nameMax is the longest name of a unit, and of a file.
const nameMax = 255

// CheckName says why a name cannot be that of a unit with drop-ins
// (systemd.unit(5)), nil where it can.
func CheckName(name string) error {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@"
	stem, suffix, _ := cutLast(name, '.')
	switch {
	case len(name)+len(".d") > nameMax:
		return fmt.Errorf("%.20s… is too long for the name of a unit: %d bytes, at most %d", name, len(name), nameMax-len(".d"))
	case stem == "" || strings.HasPrefix(stem, "@") || suffix == "":
		return fmt.Errorf("%q is not the name of a unit", name)
	case strings.IndexFunc(name, func(r rune) bool { return !strings.ContainsRune(plain, r) }) >= 0:
		return fmt.Errorf("%q is not the name of a unit: it has other characters than letters, digits and :-_.\\@", name)
	}
	return nil
}

func cutLast(s string, sep byte) (before, after string, found bool) {
	if i := strings.LastIndexByte(s, sep); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}
