package config

import (
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// Closest returns the one of names that word was probably meant to be, or ""
// where none is near. Of equally near ones the first is taken.
func Closest(word string, names []string) string {
	word = strings.ToLower(word)
	best, found := min(len(word), 1+max(1, min(3, len(word)/3))), ""
	for _, name := range names {
		distance := levenshtein.ComputeDistance(word, strings.ToLower(name))
		if distance == 2 && sameLetters(word, strings.ToLower(name)) { // two letters swapped
			distance = 1
		}
		if distance < best {
			best, found = distance, name
		}
	}
	return found
}

func sameLetters(a, b string) bool {
	as, bs := []rune(a), []rune(b)
	slices.Sort(as)
	slices.Sort(bs)
	return slices.Equal(as, bs)
}

// hint is "; did you mean …?" or nothing.
func hint(word string, names []string) string {
	if name := Closest(word, names); name != "" {
		return "; did you mean " + name + "?"
	}
	return ""
}
