package snapshot

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAttrs compares two files by both ways of listing, for each choice of
// what is preserved.
func TestAttrs(t *testing.T) {
	acl := []byte{2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 5, 0, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255,
		16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 4, 0, 255, 255, 255, 255} // user::rw- user:5:r-- group::r-- mask::r-- other::r--
	type set map[string]string
	value := func(n int, end string) string { return strings.Repeat("v", n-1) + end }
	many := func(n int) set { // their list is longer than the usual
		s := set{}
		for i := range n {
			s[fmt.Sprintf("user.attribute-%02d", i)] = "1"
		}
		return s
	}
	withACL := set{"system.posix_acl_access": string(acl)}
	tests := []struct {
		name               string
		a, b               set
		both, acls, xattrs bool // equal, by what is preserved
	}{
		{"none", set{}, set{}, true, true, true},
		{"same", set{"user.a": "1", "user.b": ""}, set{"user.b": "", "user.a": "1"}, true, true, true},
		{"other value", set{"user.a": "1"}, set{"user.a": "2"}, false, true, false},
		{"longer value", set{"user.a": "1"}, set{"user.a": "11"}, false, true, false},
		{"other name", set{"user.a": "1"}, set{"user.b": "1"}, false, true, false},
		{"only in the source", set{"user.a": "1"}, set{}, false, true, false},
		{"only in the base", set{}, set{"user.a": "1"}, false, true, false},
		{"more in the base", set{"user.a": "1"}, set{"user.a": "1", "user.b": "1"}, false, true, false},
		{"same ACL", withACL, withACL, true, true, true},
		{"ACL only in the source", withACL, set{}, false, false, true},
		{"ACL only in the base", set{}, withACL, false, false, true},
		{"value of just the usual length", set{"user.a": value(usualMax, "x")}, set{"user.a": value(usualMax, "x")}, true, true, true},
		{"value above it", set{"user.a": value(usualMax+1, "x")}, set{"user.a": value(usualMax+1, "x")}, true, true, true},
		{"long value with another end", set{"user.a": value(2000, "x")}, set{"user.a": value(2000, "y")}, false, true, false},
		{"many names", many(40), many(40), true, true, true},
		{"many names and one more", many(40), many(41), false, true, false},
	}
	dir := t.TempDir()
	fdA, fdB := sub(t, dir, "a"), sub(t, dir, "b")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			put(t, filepath.Join(dir, "a/f"), tt.a)
			put(t, filepath.Join(dir, "b/f"), tt.b)
			for _, modern := range []bool{false, hasListAt(fdA)} {
				for _, c := range []struct{ acls, xattrs, want bool }{
					{true, true, tt.both}, {true, false, tt.acls}, {false, true, tt.xattrs}, {false, false, true},
				} {
					if got := equalFiles(newAttrs(c.acls, c.xattrs, true, modern), fdA, fdB); got != c.want {
						t.Errorf("listxattrat %v, ACLs %v, others %v: equal %v, want %v", modern, c.acls, c.xattrs, got, c.want)
					}
				}
			}
		})
	}
}

func sub(t *testing.T, dir, name string) int {
	t.Helper()
	p := filepath.Join(dir, name)
	if err := os.Mkdir(p, 0o755); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(p, unix.O_PATH, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// put makes a new file with these attributes.
func put(t *testing.T, file string, attrs map[string]string) {
	t.Helper()
	os.Remove(file)
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for n, v := range attrs {
		if err := unix.Setxattr(file, n, []byte(v), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// equalFiles compares f below two directories.
func equalFiles(a *attrs, fdA, fdB int) bool {
	k := &worker{attrs: a}
	return a.equal(&local{k, fdA, cname("f"), &k.sa}, fdB, cname("f"))
}
