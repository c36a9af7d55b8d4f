package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// reference is "$$", which is a dollar sign, or "$name".
var reference = regexp.MustCompile(`\$\$|\$[a-zA-Z][a-zA-Z0-9_]*`)

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
// set its default is returned. An unknown name, a circle of names and a run-time
// name that runtime lacks are errors.
func (s *Section) Expand(key string, runtime map[string]string) (string, error) {
	if s == nil {
		return "", nil
	}
	text := s.Raw(key)
	if option, ok := Lookup(s.Kind, key); ok && text == "" && !s.emptyCounts(key) {
		text = option.Default
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
		if option, _ := Lookup(kind, name); option.Default != "" {
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
	_, ok := s.values[key]
	return ok
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
	var errs []error
	out := reference.ReplaceAllStringFunc(text, func(ref string) string {
		if ref == "$$" {
			return "$"
		}
		value, err := e.resolve(ref[1:], path)
		if err != nil {
			errs = append(errs, err)
		}
		return value
	})
	if e.left < 0 {
		return "", errors.New("refers to too many options")
	}
	return out, errors.Join(errs...)
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
	if e.left--; e.left < 0 {
		return "", nil
	}
	return e.expand(text, append(slices.Clone(path), name))
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
	seen := map[string]bool{}
	var follow func(text string)
	follow = func(text string) {
		for _, ref := range reference.FindAllString(text, -1) {
			if name := ref[1:]; name != "$" && !seen[name] {
				seen[name] = true
				value, _ := s.lookup(strings.ToLower(name))
				follow(value)
			}
		}
	}
	if s != nil {
		follow(s.Raw(key))
	}
	names := make([]string, 0, len(seen))
	for name := range seen {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
