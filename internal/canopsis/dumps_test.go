package canopsis

import (
	"slices"
	"testing"
)

// The directory of the dumps is backed up once, whatever node.conf includes.
func TestTheDumpsAreIncluded(t *testing.T) {
	dir := "/opt/canopsis/var/cache/canopsis/mongodb"
	for _, test := range []struct{ include, want []string }{
		{[]string{"/etc"}, []string{"/etc", dir}},
		{[]string{dir}, []string{dir}},
		{[]string{"/etc", "/opt/canopsis"}, []string{"/etc", "/opt/canopsis"}},
		{[]string{"/"}, []string{"/"}},
		{[]string{"/opt/canopsis/var/cache/canopsis/mongo"}, []string{"/opt/canopsis/var/cache/canopsis/mongo", dir}},
		{[]string{dir + "/canopsis", "/etc"}, []string{"/etc", dir}},
	} {
		n := &Node{Prefix: "/opt/canopsis", Include: test.include, Collections: []string{"object"}}
		if got := n.included(); !slices.Equal(got, test.want) {
			t.Errorf("%q: got %q, want %q", test.include, got, test.want)
		}
		n.Collections = nil
		if got := n.included(); !slices.Equal(got, test.include) {
			t.Errorf("%q without a database: got %q", test.include, got)
		}
	}
}

func TestIsDump(t *testing.T) {
	n := &Node{Prefix: "/opt/canopsis", Mongo: Mongo{DB: "canopsis"}}
	for path, want := range map[string]bool{
		n.FIFO("object"):                     true,
		n.DumpDir() + "/other/a.archive":     true,
		n.DumpDir() + "/extra.bson":          false,
		n.DumpDir() + "/a.archive":           false,
		n.DumpDir() + "/a/b/c.archive":       false,
		n.DumpDir() + "/canopsis/object":     false,
		"/var/cache/canopsis/object.archive": false,
	} {
		if got := n.IsDump(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}
