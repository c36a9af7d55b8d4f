package rsync

import (
	"strconv"
	"strings"
)

// SafeDaemon is the first version whose daemon may be shown to clients that are
// not trusted (rsync's NEWS).
const SafeDaemon = "3.5.0"

// AtLeast compares versions of three numbers; what follows a number is left out,
// so that a release candidate counts as the release.
func AtLeast(version, least string) bool {
	have, want := strings.Split(version, "."), strings.Split(least, ".")
	for i := range want {
		if i >= len(have) {
			return false
		}
		h, w := leading(have[i]), leading(want[i])
		if h != w {
			return h > w
		}
	}
	return true
}

func leading(s string) int {
	n := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if n >= 0 {
		s = s[:n]
	}
	v, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return v
}
