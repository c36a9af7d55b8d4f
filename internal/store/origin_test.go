package store

import (
	"errors"
	"slices"
	"testing"

	"b1000/internal/report"
)

func TestOrigin(t *testing.T) {
	for name, c := range map[string]struct {
		include, top []string
		abs          string
		names        []string          // for abs
		dirs         map[string]string // where names at the root came from
		err          error
	}{
		"each under its last element": {include: []string{"/etc/ssh", "/usr/local/bin"}, top: []string{"bin", "ssh"},
			abs: "/usr/local/bin/x", names: []string{"bin/x"}, dirs: map[string]string{"bin": "/usr/local", "ssh": "/etc"}},
		"whole paths": {include: []string{"/etc/ssh", "/usr/local/bin"}, top: []string{"etc", "usr"},
			abs: "/usr/local/bin/x", names: []string{"usr/local/bin/x"}, dirs: map[string]string{"etc": "/", "usr": "/"}},
		"the source itself, with a slash": {include: []string{"/etc"}, top: []string{"etc"},
			abs: "/etc/", names: []string{"etc"}, dirs: map[string]string{"etc": "/"}},
		"above two sources": {include: []string{"/usr/local/bin", "/usr/local/lib", "/etc"}, top: []string{"bin", "etc", "lib"},
			abs: "/usr", names: []string{"bin", "lib"}},
		"the root directory": {include: []string{"/"}, top: []string{"boot", "etc"},
			abs: "/etc/fstab", names: []string{"etc/fstab"}, dirs: map[string]string{"boot": "/", "etc": "/"}},
		"all of the root directory": {include: []string{"/"}, top: []string{"boot", "etc"}, abs: "/"},
		"a single file":             {include: []string{"/etc/hosts"}, top: []string{"hosts"}, abs: "/etc/hosts", names: []string{"hosts"}, dirs: map[string]string{"hosts": "/etc"}},
		"a source that was excluded": {include: []string{"/srv/a", "/etc"}, top: []string{"etc"},
			abs: "/srv/a", names: []string{"a"}, dirs: map[string]string{"etc": "/"}},
		"a name that only begins alike": {include: []string{"/etc"}, top: []string{"etc"}, abs: "/etcetera", err: ErrNotHeld},
		"both ways are possible":        {include: []string{"/a/a"}, top: []string{"a"}, err: ErrNoOrigin},
		"names of both ways":            {include: []string{"/a/b"}, top: []string{"a", "b"}, err: ErrNoOrigin},
		"no include":                    {top: []string{"etc"}, err: ErrNoOrigin},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := OriginOf(Entry{ID: "6f2a", Manifest: &report.Manifest{Include: c.include}}, c.top)
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
	if _, err := OriginOf(Entry{ID: "6f2a"}, []string{"etc"}); !errors.Is(err, ErrNoOrigin) {
		t.Errorf("got %v", err)
	}
}
