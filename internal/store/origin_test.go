package store

import (
	"errors"
	"slices"
	"testing"

	"b1000/internal/report"
)

func TestOrigin(t *testing.T) {
	for name, c := range map[string]struct {
		include  []string
		relative bool
		abs      string
		names    []string          // for abs
		dirs     map[string]string // where names at the root came from
		err      error
	}{
		"each under its last element": {include: []string{"/etc/ssh", "/usr/local/bin"},
			abs: "/usr/local/bin/x", names: []string{"bin/x"}, dirs: map[string]string{"bin": "/usr/local", "ssh": "/etc"}},
		"whole paths": {include: []string{"/etc/ssh", "/usr/local/bin"}, relative: true,
			abs: "/usr/local/bin/x", names: []string{"usr/local/bin/x"}, dirs: map[string]string{"etc": "/", "usr": "/"}},
		"the source itself, with a slash": {include: []string{"/etc"},
			abs: "/etc/", names: []string{"etc"}, dirs: map[string]string{"etc": "/"}},
		"above two sources": {include: []string{"/usr/local/bin", "/usr/local/lib", "/etc"},
			abs: "/usr", names: []string{"bin", "lib"}},
		"the root directory": {include: []string{"/"},
			abs: "/etc/fstab", names: []string{"etc/fstab"}, dirs: map[string]string{"boot": "/", "etc": "/"}},
		"all of the root directory": {include: []string{"/"}, abs: "/"},
		"a single file":             {include: []string{"/etc/hosts"}, abs: "/etc/hosts", names: []string{"hosts"}, dirs: map[string]string{"hosts": "/etc"}},
		"a source that was excluded": {include: []string{"/srv/a", "/etc"},
			abs: "/srv/a", names: []string{"a"}, dirs: map[string]string{"etc": "/"}},
		"a name that only begins alike":       {include: []string{"/etc"}, abs: "/etcetera", err: ErrNotHeld},
		"one name twice, by its last element": {include: []string{"/a/a"}, abs: "/a/a/b", names: []string{"a/b"}, dirs: map[string]string{"a": "/a"}},
		"one name twice, by its whole path":   {include: []string{"/a/a"}, relative: true, abs: "/a/a/b", names: []string{"a/a/b"}, dirs: map[string]string{"a": "/"}},
		"no include":                          {err: ErrNoOrigin},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := OriginOf(Entry{ID: "6f2a", Manifest: &report.Manifest{Include: c.include, Relative: c.relative}})
			var names []string
			if err == nil && c.abs != "" {
				names, err = o.Names(c.abs)
			}
			if !errors.Is(err, c.err) {
				t.Fatalf("error: got %v, want %v", err, c.err)
			}
			if !slices.Equal(names, c.names) {
				t.Errorf("names of %s: got %q, want %q", c.abs, names, c.names)
			}
			for top, want := range c.dirs {
				if dir, ok := o.Dir(top); !ok || dir != want {
					t.Errorf("%s came from %q, %v, want %q", top, dir, ok, want)
				}
			}
		})
	}
}

func TestOriginOfWithoutManifest(t *testing.T) {
	if _, err := OriginOf(Entry{ID: "6f2a"}); !errors.Is(err, ErrNoOrigin) {
		t.Errorf("got %v", err)
	}
}
