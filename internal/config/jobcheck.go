package config

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"
)

// check looks at what several options of a job say together.
func (j *Job) check() {
	s := j.section
	if j.Direction == "push" && !s.Has("include") && !s.Has("streams") && !s.Has("read_fifo") {
		s.fault("include", "missing; a push job needs it, or streams, or read_fifo")
	}
	if j.IONice != "" && !ionicePattern.MatchString(j.IONice) {
		s.fault("ionice", fmt.Sprintf("%q is not idle, best-effort:0…7 or realtime:0…7", j.IONice))
	}
	if s.Has("include") && !s.runtimeDependent("include") {
		j.checkStaticInclude()
	}
	if instances, err := s.Expand("instances", nil); err == nil {
		if _, command := CommandOf(instances); !command {
			if name := twice(Names(instances)); name != "" {
				s.fault("instances", name+" is named twice")
			}
		}
	}
	j.checkPull()
	j.checkPassive()
}

// checkStaticInclude looks at an include that is known before the run.
func (j *Job) checkStaticInclude() {
	text, err := j.section.Expand("include", nil)
	if err != nil {
		return // Section.check tells
	}
	words, err := Words(text)
	if err != nil {
		return
	}
	if err := CheckInclude(words, j.Direction, j.Relative); err != nil {
		j.section.fault("include", err.Error())
	}
}

// CheckInclude refuses includes that cannot be what was meant: for a push job
// those that are not absolute, and, unless relative, two whose last element is
// equal, because rsync would merge them. Globs are not expanded; a last element
// that is one is not compared.
func CheckInclude(words []string, direction string, relative bool) error {
	if direction == "pull" {
		return checkFetched(words, relative)
	}
	seen := map[string]string{}
	for _, word := range words {
		switch {
		case word == "" || strings.HasPrefix(word, "-"):
			return fmt.Errorf("%q is not a path", word)
		case direction == "push" && !filepath.IsAbs(word):
			return fmt.Errorf("%q is not an absolute path", word)
		}
		last := path.Base(path.Clean(word))
		if first, ok := seen[last]; ok && !relative && !IsGlob(last) {
			return fmt.Errorf("%s and %s both end in %s and would be merged; set relative = yes", first, word, last)
		}
		seen[last] = word
	}
	if len(words) == 0 {
		return errors.New("names nothing")
	}
	return nil
}

// IsGlob reports whether a word of include is a pattern for path/filepath.Match.
func IsGlob(word string) bool { return strings.ContainsAny(word, `*?[\`) }

// twice returns the first name that stands in the list a second time.
func twice(names []string) string {
	seen := map[string]bool{}
	for _, name := range names {
		if seen[name] {
			return name
		}
		seen[name] = true
	}
	return ""
}
