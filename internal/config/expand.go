package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// reference finds the first "$$", which is a dollar sign, or "$name" in a text,
// and returns where it begins and ends; -1 where there is none.
func reference(text string) (begin, end int) {
	for i := 0; i+1 < len(text); i++ {
		if text[i] != '$' {
			continue
		}
		if text[i+1] == '$' {
			return i, i + 2
		}
		end := i + 1
		for end < len(text) && (isLetter(text[end]) || end > i+1 && (text[end] == '_' || '0' <= text[end] && text[end] <= '9')) {
			end++
		}
		if end > i+1 {
			return i, end
		}
	}
	return -1, -1
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

// credentials is the one name that is looked up in the environment, so that
// password_file = $CREDENTIALS_DIRECTORY/name works; see systemd.exec(5).
const credentials = "CREDENTIALS_DIRECTORY"

// RuntimeNames are the names that B1000 itself sets for each job and instance.
func RuntimeNames() []string { return []string{"name", "host", "instance", "client", "start_time"} }

// errRuntime says that a value cannot be known before the job runs.
var errRuntime = errors.New("known only while a job runs")

// Expand returns the option's value with every $name replaced: by the value in
// runtime, which is not expanded further, else by that of the same section, else
// by that of [global], else by the default of either. Where the option is not
// set its default is returned. An unknown name, a circle of names, a run-time
// name that runtime lacks, and a password in an option that is printed are errors.
func (s *Section) Expand(key string, runtime map[string]string) (string, error) {
	if s == nil {
		return "", nil
	}
	text := s.Raw(key)
	if option := lookup(s.Kind, key); text == "" && option != nil && !s.emptyCounts(key) {
		text = option.Default
	}
	if strings.IndexByte(text, '$') < 0 {
		return text, nil
	}
	e := expansion{section: s, runtime: runtime, left: maxReferences}
	return e.expand(text, []string{key})
}

// emptyCounts says that an option which is given without a value has no default.
func (s *Section) emptyCounts(key string) bool { return key == "preserve" && s.Given(key) }

// lookup finds what a name stands for when another value refers to it.
func (s *Section) lookup(name string) (text string, ok bool) {
	for _, from := range []*Section{s, s.global} {
		if from.Given(name) {
			return from.Raw(name), true
		}
	}
	for _, kind := range []string{s.Kind, "global"} {
		if option := lookup(kind, name); option != nil && option.Default != "" {
			return option.Default, true
		}
	}
	return "", false
}

// Given reports whether the option is written in the section, even if empty.
func (s *Section) Given(key string) bool {
	if s == nil {
		return false
	}
	return s.given(key).line > 0
}

// maxReferences bounds what one value may refer to, so that a few options that
// name each other several times cannot keep the program busy for ever.
const maxReferences = 10000

// expansion is the expansion of one value.
type expansion struct {
	section *Section
	runtime map[string]string
	left    int
}

// expand replaces the references of a text; path is how it was reached.
func (e *expansion) expand(text string, path []string) (string, error) {
	var out strings.Builder
	var errs []error
	out.Grow(2 * len(text))
	for begin, end := reference(text); begin >= 0; begin, end = reference(text) {
		out.WriteString(text[:begin])
		if name := text[begin+1 : end]; name == "$" {
			out.WriteString("$")
		} else {
			value, err := e.resolve(name, path)
			if err != nil {
				errs = append(errs, err)
			}
			out.WriteString(value)
		}
		text = text[end:]
	}
	if e.left < 0 {
		return "", errors.New("refers to too many options")
	}
	out.WriteString(text)
	return out.String(), errors.Join(errs...)
}

// resolve returns what one name of a value stands for.
func (e *expansion) resolve(ref string, path []string) (string, error) {
	s, name := e.section, strings.ToLower(ref)
	if value, ok := e.runtime[ref]; ok {
		return value, nil
	}
	if slices.Contains(RuntimeNames(), ref) {
		return "", fmt.Errorf("$%s is %w", ref, errRuntime)
	}
	if ref == credentials && s.Kind != "job" {
		if s.creds == "" {
			return "$" + ref, nil
		}
		return s.creds, nil
	}
	if at := slices.Index(path, name); at >= 0 {
		return "", fmt.Errorf("refers to itself: $%s", strings.Join(append(path[at:], name), " -> $"))
	}
	text, ok := s.lookup(name)
	if !ok {
		return "", errors.New(s.unknown(ref))
	}
	if s.secret(name) && !s.secret(path[0]) {
		return "", fmt.Errorf("$%s: a password must not be referred to", ref)
	}
	if e.left--; e.left < 0 {
		return "", nil
	}
	if strings.IndexByte(text, '$') < 0 {
		return text, nil
	}
	return e.expand(text, append(slices.Clone(path), name))
}

// secret reports whether an option is one that is never printed.
func (s *Section) secret(name string) bool {
	option := lookup(s.Kind, name)
	return option != nil && option.Kind == Secret
}

// unknown is the message for a name that stands for nothing.
func (s *Section) unknown(ref string) string {
	names := RuntimeNames()
	_, inSection := Lookup(s.Kind, strings.ToLower(ref))
	_, inGlobal := Lookup("global", strings.ToLower(ref))
	if inSection || inGlobal {
		return fmt.Sprintf("$%s is not set", ref)
	}
	for _, o := range append(Options(s.Kind), Options("global")...) {
		names = append(names, o.Name)
	}
	message := fmt.Sprintf("$%s is not known; write $$%s if the shell is to see it", ref, ref)
	if near := Closest(ref, names); near != "" && ref != strings.ToUpper(ref) {
		message = fmt.Sprintf("$%s is not known; did you mean $%s? Write $$%s if the shell is to see it", ref, near, ref)
	}
	return message
}

// Refs are the names that the option's value refers to, also by way of other
// options; sorted, each once.
func (s *Section) Refs(key string) []string {
	if strings.IndexByte(s.Raw(key), '$') < 0 {
		return nil
	}
	var names []string
	var follow func(text string)
	follow = func(text string) {
		for begin, end := reference(text); begin >= 0; begin, end = reference(text) {
			name := text[begin+1 : end]
			text = text[end:]
			if name != "$" && !slices.Contains(names, name) {
				names = append(names, name)
				value, _ := s.lookup(strings.ToLower(name))
				follow(value)
			}
		}
	}
	follow(s.Raw(key))
	slices.Sort(names)
	return names
}
