package logfile

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// kind is the type that an attribute has in Python; it decides which
// conversions can write it.
type kind int

const (
	text kind = iota
	whole
	decimal
)

// attribute is one of the attributes of Python's LogRecord.
type attribute struct {
	name  string
	kind  kind
	value func(*line) any // string, int64 or float64, as kind says
}

// line is what one line of the log is made from.
type line struct {
	when                         stamp
	levelName, message, thread   string
	levelNumber                  int64
	path, file, module, function string
	lineNumber, process          int64
	relative                     float64 // milliseconds
	name, processName            string
}

func attributes() []attribute {
	return []attribute{
		{"asctime", text, func(l *line) any { return l.when.text }},
		{"created", decimal, func(l *line) any { return l.when.seconds }},
		{"filename", text, func(l *line) any { return l.file }},
		{"funcName", text, func(l *line) any { return l.function }},
		{"levelname", text, func(l *line) any { return l.levelName }},
		{"levelno", whole, func(l *line) any { return l.levelNumber }},
		{"lineno", whole, func(l *line) any { return l.lineNumber }},
		{"message", text, func(l *line) any { return l.message }},
		{"module", text, func(l *line) any { return l.module }},
		{"msecs", decimal, func(l *line) any { return l.when.milli }},
		{"name", text, func(l *line) any { return l.name }},
		{"pathname", text, func(l *line) any { return l.path }},
		{"process", whole, func(l *line) any { return l.process }},
		{"processName", text, func(l *line) any { return l.processName }},
		{"relativeCreated", decimal, func(l *line) any { return l.relative }},
		{"thread", whole, func(l *line) any { return l.process }},
		{"threadName", text, func(l *line) any { return l.thread }},
	}
}

// part is one piece of a format: literal text, or one attribute with its
// conversion.
type part struct {
	literal          string
	value            func(*line) any // nil: literal
	flags            string          // of "-0+ "
	width, precision int             // precision -1: none
	verb             byte            // 's', 'd' or 'f'
}

// A conversion is "%(name)", flags, width, precision, a length that Python
// ignores as well, and the verb. Three digits are width enough for a log line.
const conversion = `^%\((\w+)\)([-0+ ]*)(\d{0,3})(?:\.(\d{0,3}))?[hlL]?([sdiufF])`

// parse reads a format in Python's notation. An error names the conversion that
// it is about.
func parse(format string) ([]part, error) {
	if format == "" {
		format = "%(message)s" // as Python does
	}
	known, syntax := attributes(), regexp.MustCompile(conversion)
	var parts []part
	for format != "" {
		literal, rest, found := strings.Cut(format, "%")
		parts = append(parts, part{literal: literal})
		switch {
		case !found:
			return parts, nil
		case strings.HasPrefix(rest, "%"):
			parts = append(parts, part{literal: "%"})
			format = rest[1:]
			continue
		}
		m := syntax.FindStringSubmatch("%" + rest)
		if m == nil {
			return nil, fmt.Errorf("%q is not a conversion such as %%(message)s; %%%% stands for a percent sign", start(rest))
		}
		p, err := newPart(known, m)
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
		format = rest[len(m[0])-1:]
	}
	return parts, nil
}

// start is a conversion that cannot be read, shortened for an error.
func start(rest string) string {
	if i := strings.IndexAny(rest, " ]%"); i > 0 {
		rest = rest[:i]
	}
	return "%" + rest[:min(len(rest), 40)]
}

func newPart(known []attribute, m []string) (part, error) {
	i := slices.IndexFunc(known, func(a attribute) bool { return a.name == m[1] })
	if i < 0 {
		names := make([]string, len(known))
		for k, a := range known {
			names[k] = a.name
		}
		return part{}, fmt.Errorf("%s: there is no attribute %q; there are %s", m[0], m[1], strings.Join(names, ", "))
	}
	p := part{value: known[i].value, flags: m[2], precision: -1}
	switch m[5] {
	case "s":
		p.verb = 's'
	case "f", "F":
		p.verb = 'f'
	default:
		p.verb = 'd'
	}
	if p.verb != 's' && known[i].kind == text {
		return part{}, fmt.Errorf("%s: %s is text; write %%(%s)s", m[0], m[1], m[1])
	}
	p.width, _ = strconv.Atoi(m[3]) // "" is 0
	if strings.Contains(m[0], ".") {
		p.precision, _ = strconv.Atoi(m[4]) // Python reads "%.s" as "%.0s"
	}
	return p, nil
}

// render writes one line without its newline.
func render(parts []part, l *line) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.literal)
		if p.value != nil {
			b.WriteString(p.convert(p.value(l)))
		}
	}
	return b.String()
}

func (p part) convert(v any) string {
	if p.verb == 's' {
		s := plain(v)
		if p.precision >= 0 && utf8.RuneCountInString(s) > p.precision {
			s = string([]rune(s)[:p.precision])
		}
		return p.pad("", s, ' ')
	}
	sign, digits := p.number(v)
	if strings.Contains(p.flags, "0") {
		return p.pad(sign, digits, '0')
	}
	return p.pad("", sign+digits, ' ')
}

// number gives the sign and the digits of a number.
func (p part) number(v any) (sign, digits string) {
	f, isFloat := v.(float64)
	n, _ := v.(int64)
	if p.verb == 'd' {
		if isFloat {
			n = int64(f)
		}
		digits = strconv.FormatInt(n, 10)
	} else {
		if !isFloat {
			f = float64(n)
		}
		precision := 6
		if p.precision >= 0 {
			precision = p.precision
		}
		digits = strconv.FormatFloat(f, 'f', precision, 64)
	}
	digits, negative := strings.CutPrefix(digits, "-")
	if p.verb == 'd' && len(digits) < p.precision {
		digits = strings.Repeat("0", p.precision-len(digits)) + digits
	}
	switch {
	case negative:
		sign = "-"
	case strings.Contains(p.flags, "+"):
		sign = "+"
	case strings.Contains(p.flags, " "):
		sign = " "
	}
	return sign, digits
}

// pad fills s, counted in characters, up to the width: after it with blanks
// where the flag - says so, else between sign and s with fill.
func (p part) pad(sign, s string, fill byte) string {
	missing := p.width - len(sign) - utf8.RuneCountInString(s)
	switch {
	case missing <= 0:
		return sign + s
	case strings.Contains(p.flags, "-"):
		return sign + s + strings.Repeat(" ", missing)
	}
	return sign + strings.Repeat(string(fill), missing) + s
}

// plain is a value as Python's str() writes it.
func plain(v any) string {
	switch v := v.(type) {
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		s := strconv.FormatFloat(v, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	return v.(string)
}
