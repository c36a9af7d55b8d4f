// Package restictest makes repositories for tests.
package restictest

import (
	"embed"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Password opens the repositories.
const Password = "sesame"

// cheap is a new repository whose key costs next to nothing to derive from the
// password (scrypt with N=128): one that restic makes costs 0.7 s of processor
// time at each call. Its contents are encrypted as any other's.
//
//go:embed cheap
var cheap embed.FS

// New makes an empty repository in a directory, and a file with its password.
func New(t *testing.T, dir string) (passwordFile string) {
	t.Helper()
	Need(t)
	err := fs.WalkDir(cheap, "cheap", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel("cheap", name)
		if err != nil {
			return err
		}
		text, err := cheap.ReadFile(name)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(rel)), 0o700); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, rel), text, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"data", "index", "locks", "snapshots"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return PasswordFile(t, Password)
}

// PasswordFile writes a password to a file.
func PasswordFile(t *testing.T, password string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Need skips a test where restic is missing, which check-setup builds.
func Need(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("restic"); err != nil {
		t.Skip("restic is missing: make check-setup builds it")
	}
}
