// Package canopsis reads what the Canopsis backup utility was configured by
// (etc/backup/node.conf, storage.conf, server.conf and clients/, in the grammar of
// burp) and says the same as a configuration of this program. It runs nothing.
// It may import internal/config only.
package canopsis

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Files below the directory that Canopsis is installed in.
const (
	nodeFile    = "etc/backup/node.conf"
	storageFile = "etc/backup/storage.conf"
	serverFile  = "etc/backup/server.conf"
	clientsDir  = "etc/backup/clients"
	sslDir      = "etc/ssl"
)

// Problem is a fault in one of the files.
type Problem struct {
	File    string
	Line    int // 0 for the file as a whole
	Message string
}

func (p Problem) Error() string {
	if p.Line == 0 {
		return p.File + ": " + p.Message
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Message)
}

// setting is one line "key = value".
type setting struct {
	key, value string
	line       int
}

// file is what one of the files says.
type file struct {
	path     string
	settings []setting
	plain    []setting // lines without "=", their text in value
	problems []Problem
	used     map[string]bool
}

// read reads a file of burp's grammar: "key = value", comments after "#", no
// sections. Of an option that may be given once the last one counts.
func read(path string) (*file, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f := &file{path: path, used: map[string]bool{}}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' || text[0] == '[' { // storage.conf may have sections
			continue
		}
		key, value, ok := strings.Cut(text, "=")
		if !ok {
			f.plain = append(f.plain, setting{value: text, line: n})
			continue
		}
		s := setting{strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value), n}
		if !safe(s.value) {
			f.fault(n, s.key+": has a character that cannot be written into a configuration")
			continue
		}
		f.settings = append(f.settings, s)
	}
	if err := lines.Err(); err != nil {
		f.fault(0, "cannot be read: "+err.Error())
	}
	return f, nil
}

// safe reports whether a value can be written into a configuration as it is.
func safe(value string) bool {
	return !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) && !strings.Contains(value, " ;")
}

func (f *file) fault(line int, message string) {
	f.problems = append(f.problems, Problem{f.path, line, message})
}

// all are the values of an option that may be given several times.
func (f *file) all(key string) (list []setting) {
	f.used[key] = true
	for _, s := range f.settings {
		if s.key == key {
			list = append(list, s)
		}
	}
	return list
}

// one is the value of an option, or the default.
func (f *file) one(key, otherwise string) string {
	value := otherwise
	for _, s := range f.all(key) {
		value = s.value
	}
	return value
}

// line is where an option stands last; 0 where it does not.
func (f *file) line(key string) (n int) {
	for _, s := range f.all(key) {
		n = s.line
	}
	return n
}

// Ignored are the options of a file that mean nothing here.
func (f *file) ignored() (keys []string) {
	seen := map[string]bool{}
	for _, s := range f.settings {
		if !f.used[s.key] && !seen[s.key] {
			seen[s.key] = true
			keys = append(keys, s.key)
		}
	}
	return keys
}

// below is a path of the installation; an absolute one stays as it is.
func below(prefix, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(prefix, path)
}

// word writes a value where "$" refers to another option.
func word(value string) string { return strings.ReplaceAll(value, "$", "$$") }

// text collects the lines of a configuration.
type text struct{ strings.Builder }

func (t *text) section(title string) { fmt.Fprintf(t, "\n[%s]\n", title) }

func (t *text) set(key, value string) {
	if value != "" {
		fmt.Fprintf(t, "%s = %s\n", key, value)
	}
}
