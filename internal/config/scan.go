package config

import (
	"bytes"
	"regexp"
	"strings"
)

// scanned is what one file says, before any option is known.
type scanned struct {
	sections []scannedSection
	faults   []scanFault
}

type scannedSection struct {
	title string // the text between the brackets
	line  int
	keys  []scannedKey
}

// scannedKey is one option. Lines of a value that was continued are joined by
// a newline; line is that of the name.
type scannedKey struct {
	name, value  string
	line, indent int
}

type scanFault struct {
	line    int
	message string
}

// indentedHeader is a continuation line that was surely meant as a section.
var indentedHeader = regexp.MustCompile(`^\[(global|storage|monitor|(job|dest|report|stream|notify):[^\]]+)\]`)

// scan reads the grammar of Python's RawConfigParser: names are case-insensitive
// and end at "=" or ":", a line that starts with "#" or ";" is a comment, white
// space and ";" start an inline one, a line that is indented deeper than its
// option continues that option. gopkg.in/ini.v1 is not used for it: it knows no
// line numbers, stops at the first fault and unquotes values.
func scan(data []byte) scanned {
	var out scanned
	var key *scannedKey // what an indented line continues
	fault := func(line int, message string) {
		out.faults = append(out.faults, scanFault{line, message})
		key = &scannedKey{} // swallows the lines that continue the bad one
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	n := 0
	for line := range strings.SplitSeq(string(data), "\n") {
		n++
		text := strings.TrimSpace(line)
		switch indent := len(line) - len(strings.TrimLeft(line, " \t")); {
		case text == "" || text[0] == '#' || text[0] == ';':
		case strings.ContainsRune(line, 0):
			fault(n, "the line holds a NUL byte")
		case key != nil && indent > key.indent:
			if indentedHeader.MatchString(text) {
				fault(n, "an indented section header continues the option above it; remove the white space before it")
				continue
			}
			key.value = strings.TrimSpace(key.value + "\n" + uncomment(text))
		case text[0] == '[':
			title, rest, closed := strings.Cut(text[1:], "]")
			rest = strings.TrimSpace(rest)
			if !closed || rest != "" && rest[0] != ';' && rest[0] != '#' {
				fault(n, "a section header is [kind:name] alone on its line")
				continue
			}
			const usual = 8 // options
			out.sections = append(out.sections, scannedSection{title: title, line: n, keys: make([]scannedKey, 0, usual)})
			key = nil
		default:
			key = scanOption(&out, fault, line, n, indent)
		}
	}
	return out
}

// scanOption adds the option of a line to the last section and returns it.
func scanOption(out *scanned, fault func(int, string), line string, n, indent int) *scannedKey {
	end := strings.IndexAny(line, "=:")
	swallow := &scannedKey{indent: indent}
	if end < 0 {
		fault(n, "neither a section nor an option; write option = value")
		return swallow
	}
	name := strings.ToLower(strings.TrimSpace(line[:end]))
	if name == "" {
		fault(n, "no option name before the "+line[end:end+1])
		return swallow
	}
	if len(out.sections) == 0 {
		fault(n, "an option stands before the first section")
		return swallow
	}
	section := &out.sections[len(out.sections)-1]
	value := strings.TrimSpace(uncomment(line[end+1:]))
	section.keys = append(section.keys, scannedKey{name: name, value: value, line: n, indent: indent})
	return &section.keys[len(section.keys)-1]
}

// uncomment cuts an inline comment: a semicolon with white space before it.
func uncomment(s string) string {
	for i := 1; i < len(s); i++ {
		if s[i] == ';' && (s[i-1] == ' ' || s[i-1] == '\t') {
			return strings.TrimSpace(s[:i-1])
		}
	}
	return s
}
