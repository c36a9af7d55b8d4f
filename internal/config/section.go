package config

import (
	"slices"
	"strconv"
	"time"
)

// Section is one section as it was written, with its references expanded on
// demand. Its typed getters return an option's default where it is not set;
// after Load reported no Problem for the section they cannot fail.
type Section struct {
	Kind, Name string // "job", "etc"; Name is empty for global, storage and monitor
	File       string
	Line       int
	Problems   []Problem

	values map[string]scannedKey
	global *Section // where names are looked up next; nil for global itself
	creds  string   // $CREDENTIALS_DIRECTORY
}

// Title is "kind:name", or the kind alone.
func (s *Section) Title() string {
	if s.Name == "" {
		return s.Kind
	}
	return s.Kind + ":" + s.Name
}

// Has reports whether the option is set to something that is not empty.
func (s *Section) Has(key string) bool { return s.Raw(key) != "" }

// Raw is the option's value as it was written, without expansion or default.
func (s *Section) Raw(key string) string {
	if s == nil {
		return ""
	}
	return s.values[key].value
}

// LineOf is the line of an option, or that of the section where it is not set.
func (s *Section) LineOf(key string) int {
	if v, ok := s.values[key]; ok {
		return v.line
	}
	return s.Line
}

// Keys are the names of the options that are given, sorted.
func (s *Section) Keys() []string {
	keys := make([]string, 0, len(s.values))
	for key := range s.values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// Text is the option's expanded value, or its default. It is empty where the
// value needs what is known only while a job runs; see Expand.
func (s *Section) Text(key string) string {
	text, err := s.Expand(key, nil)
	if err != nil {
		return ""
	}
	option, _ := Lookup(s.Kind, key)
	return option.canonical(text)
}

// Bool is the value of an option of kind Bool.
func (s *Section) Bool(key string) bool {
	b, _ := ParseBool(s.Text(key))
	return b
}

// Int is the value of an option of kind Int; 0 where it has none.
func (s *Section) Int(key string) int {
	n, _ := strconv.Atoi(s.Text(key))
	return n
}

// Duration is the value of an option of kind Duration.
func (s *Section) Duration(key string) time.Duration {
	if s.Text(key) == "" {
		return 0
	}
	d, _ := ParseDuration(s.Text(key))
	return d
}

// Size is the value of an option of kind Size, in bytes.
func (s *Section) Size(key string) int64 {
	if s.Text(key) == "" {
		return 0
	}
	n, _ := ParseSize(s.Text(key))
	return n
}

// Words is the value of an option that is a list; see Split.
func (s *Section) Words(key string) []string {
	option, _ := Lookup(s.Kind, key)
	words, _ := option.Split(s.Text(key))
	return words
}

// Keep holds the retention rules of the section.
func (s *Section) Keep() Keep {
	k := Keep{
		Last: s.Int("keep"), Daily: s.Int("keep_daily"), Weekly: s.Int("keep_weekly"),
		Monthly: s.Int("keep_monthly"), Yearly: s.Int("keep_yearly"), Within: s.Duration("keep_within"),
	}
	k.Set = k != Keep{}
	return k
}

// fault adds a Problem at the option's line, or at the section's for key "".
func (s *Section) fault(key, message string) {
	s.Problems = append(s.Problems, Problem{File: s.File, Line: s.LineOf(key), Section: s.Title(), Key: key, Message: message})
}
