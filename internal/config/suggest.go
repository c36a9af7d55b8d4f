package config

import (
	"strings"

	"github.com/agnivade/levenshtein"
)

// Closest returns the one of names that word was probably meant to be, or ""
// where none is near. Of equally near ones the first is taken.
func Closest(word string, names []string) string {
	best, found := 1+max(1, min(3, len(word)/3)), ""
	for _, name := range names {
		if d := levenshtein.ComputeDistance(strings.ToLower(word), strings.ToLower(name)); d < best {
			best, found = d, name
		}
	}
	return found
}

// hint is "; did you mean …?" or nothing.
func hint(word string, names []string) string {
	if name := Closest(word, names); name != "" {
		return "; did you mean " + name + "?"
	}
	return ""
}
