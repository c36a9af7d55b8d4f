// Package nix_test checks the package and the module for NixOS as far as that
// goes without NixOS: it parses every file, evaluates the module with nixpkgs' own
// lib, and boots what comes of it on a host. What needs that lib has a name that
// begins with TestNixos, and is skipped where NIXPKGS_LIB does not name a copy of
// github.com/nix-community/nixpkgs.lib.
package nix_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// libPath is nixpkgs' lib.
func libPath(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("NIXPKGS_LIB")
	if dir == "" {
		t.Skip("NIXPKGS_LIB is not set; it names a copy of github.com/nix-community/nixpkgs.lib")
	}
	path, err := filepath.Abs(filepath.Join(dir, "lib"))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// instantiate runs nix-instantiate; it touches no store.
func instantiate(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	path, err := exec.LookPath("nix-instantiate")
	if err != nil {
		t.Skip("nix-instantiate is not installed (Debian package nix-bin)")
	}
	cmd := exec.CommandContext(t.Context(), path, append([]string{"--option", "build-users-group", ""}, args...)...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err = cmd.Run()
	return out.String(), errOut.String(), err
}

// evaluate is the value of an expression, in which $lib and $nix are the paths of
// nixpkgs' lib and of this directory.
func evaluate(t *testing.T, expression string, value any) error {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	expression = strings.NewReplacer("$lib", libPath(t), "$nix", here).Replace(expression)
	stdout, stderr, err := instantiate(t, "--eval", "--strict", "--json", "--store", "dummy://", "--expr", expression)
	if err != nil {
		return &evalError{stderr}
	}
	if stderr != "" {
		t.Errorf("evaluation warns: %s", stderr)
	}
	return json.Unmarshal([]byte(stdout), value)
}

// evalError is what nix-instantiate says of an expression that has no value.
type evalError struct{ stderr string }

func (e *evalError) Error() string { return e.stderr }

// mustEvaluate is evaluate for what has to succeed.
func mustEvaluate(t *testing.T, expression string, value any) {
	t.Helper()
	if err := evaluate(t, expression, value); err != nil {
		t.Fatalf("%v\nof: %s", err, expression)
	}
}

// files are the ones of this project in Nix' language.
func files(t *testing.T) []string {
	t.Helper()
	found := []string{"../flake.nix"}
	err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".nix") {
			found = append(found, path)
		}
		return err
	})
	if err != nil || len(found) < 10 {
		t.Fatal(found, err)
	}
	return found
}

// The parser also refuses names that stand for nothing.
func TestEveryFileParses(t *testing.T) {
	for _, path := range files(t) {
		if _, stderr, err := instantiate(t, "--parse", path); err != nil || stderr != "" {
			t.Errorf("%s: %v: %s", path, err, stderr)
		}
	}
}

// What nixfmt would do to a line is not known here, but these it would not leave.
func TestEveryFileIsTidy(t *testing.T) {
	for _, path := range files(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for line := range strings.Lines(string(text)) {
			n++
			if line = strings.TrimSuffix(line, "\n"); strings.TrimRight(line, " \t") != line || strings.Contains(line, "\t") {
				t.Errorf("%s:%d: a tab, or white space at the end", path, n)
			}
		}
	}
}
