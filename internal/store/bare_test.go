package store

import (
	"os"
	"path/filepath"
	"testing"
)

// A place remembers from its first backup on which files have no attributes, and
// does without where it cannot.
func TestWhatHasNoAttributesIsRemembered(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(dir string) error{
		"a new directory":     func(string) error { return nil },
		"a file in its place": func(dir string) error { return os.WriteFile(dir, nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, known := t.TempDir(), filepath.Join(t.TempDir(), "known")
			must(t, make(known))
			s, err := Open(Settings{Name: "hd", Path: dir, Host: "web1", TempDir: t.TempDir(), KnownDir: known})
			must(t, err)
			p := place{Store: s, dir: dir}
			src := sourceTree(t)
			for n := range 3 {
				p.backup(t, target(n+1), treeOf(src))
				if files, _ := filepath.Glob(known + "/*"); name == "a new directory" && len(files) != 1 {
					t.Errorf("after backup %d: %q", n+1, files)
				}
				same(t, src, p.restored(t, p.list(t)[n])+"/etc")
			}
		})
	}
}
