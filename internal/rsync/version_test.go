package rsync

import "testing"

func TestVersionsAreComparedByNumber(t *testing.T) {
	for _, test := range []struct {
		version string
		want    bool
	}{
		{"3.5.0", true}, {"3.5.1", true}, {"3.10.0", true}, {"4.0.0", true}, {"3.5.0pre1", true},
		{"3.4.9", false}, {"3.2.7", false}, {"2.99.99", false}, {"3.5", false}, {"", false}, {"x.y.z", false},
	} {
		if got := AtLeast(test.version, SafeDaemon); got != test.want {
			t.Errorf("AtLeast(%q, %q) is %v", test.version, SafeDaemon, got)
		}
	}
}
