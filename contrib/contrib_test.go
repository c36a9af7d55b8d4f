// Package contrib_test keeps the index of this folder complete.
package contrib_test

import (
	"os"
	"strings"
	"testing"
)

func TestTheIndexNamesEverything(t *testing.T) {
	index, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := e.Name(); name != "README.md" && !strings.HasSuffix(name, "_test.go") && !strings.Contains(string(index), "`"+name) {
			t.Errorf("README.md does not tell of %s", name)
		}
	}
}
