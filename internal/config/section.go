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

	values []scannedKey // by line; of an option given twice the last one counts
	global *Section     // where names are looked up next; nil for global itself
	creds  string       // $CREDENTIALS_DIRECTORY
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
	return s.given(key).value
}

// given is the option as it is written, of line 0 where it is not. There are few
// in a section; looking through them is faster than a map is made.
func (s *Section) given(key string) scannedKey {
	for i := len(s.values) - 1; i >= 0; i-- {
		if s.values[i].name == key {
			return s.values[i]
		}
	}
	return scannedKey{}
}

// LineOf is the line of an option, or that of the section where it is not set.
func (s *Section) LineOf(key string) int {
	if line := s.given(key).line; line > 0 {
		return line
	}
	return s.Line
}

// Keys are the names of the options that are given, sorted.
func (s *Section) Keys() []string {
	keys := make([]string, 0, len(s.values))
	for _, v := range s.values {
		keys = append(keys, v.name)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// Text is the option's expanded value, or its default. It is empty where the
// value needs what is known only while a job runs; see Expand.
func (s *Section) Text(key string) string {
	text, err := s.Expand(key, nil)
	if err != nil || text == "" {
		return ""
	}
	if option := lookup(s.Kind, key); option != nil {
		return option.canonical(text)
	}
	return text
}

// Bool is the value of an option of kind Bool.
func (s *Section) Bool(key string) bool {
	b, _ := ParseBool(s.Text(key))
	return b
}

// Int is the value of an option of kind Int; 0 where it has none.
func (s *Section) Int(key string) int {
	text := s.Text(key)
	if text == "" {
		return 0
	}
	n, _ := strconv.Atoi(text)
	return n
}

// Duration is the value of an option of kind Duration.
func (s *Section) Duration(key string) time.Duration {
	text := s.Text(key)
	if text == "" {
		return 0
	}
	d, _ := ParseDuration(text)
	return d
}

// Size is the value of an option of kind Size, in bytes.
func (s *Section) Size(key string) int64 {
	text := s.Text(key)
	if text == "" {
		return 0
	}
	n, _ := ParseSize(text)
	return n
}

// Share is the value of an option of kind Share; see ParseShare.
func (s *Section) Share(key string) (bytes int64, percent int) {
	if s.Text(key) == "" {
		return 0, 0
	}
	bytes, percent, _ = ParseShare(s.Text(key))
	return bytes, percent
}

// Words is the value of an option that is a list; see Split.
func (s *Section) Words(key string) []string {
	option := lookup(s.Kind, key)
	if option == nil {
		return nil
	}
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
