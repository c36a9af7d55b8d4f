package passive

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
	"unicode"
)

// The modules that a client sees.
const (
	reportsModule = "reports"
	shareModule   = "share"
)

// nobody is the user that what a client uploads belongs to: one that owns no
// file of this host, whatever its name is here.
const nobody = 65534

// canBeServed says why a path cannot stand in rsyncd.conf(5), where "%" names
// variables and a backslash at the end continues the line.
func canBeServed(path string) error {
	switch {
	case path == "":
		return nil
	case !filepath.IsAbs(path):
		return fmt.Errorf("%q: not an absolute path", path)
	case strings.ContainsAny(path, "%'\\") || strings.ContainsFunc(path, unicode.IsControl) || strings.TrimSpace(path) != path:
		return fmt.Errorf("%q: has a character that rsync's configuration cannot hold (%%, ', \\, a control character, white space at an end)", path)
	}
	return nil
}

// module is what is served on one connection.
type module struct {
	dir     string        // of the connection
	share   string        // "" for none
	root    bool          // whether the daemon runs as root
	timeout time.Duration // of a transfer
}

// patterns let names of one directory pass, each in a line.
func patterns(names []string) string {
	var b strings.Builder
	for _, name := range names {
		b.WriteString("/" + name + "\n")
	}
	return b.String()
}

// config is the rsyncd.conf(5) of one connection. What the client wants is noted
// in a file before the transfer begins, by a command that the client has no part
// in. As root the daemon sees nothing but the module (chroot), links included;
// otherwise it follows no link for the client.
func (m module) config() string {
	var b strings.Builder
	set := func(key, value string) { fmt.Fprintf(&b, "%s = %s\n", key, value) }
	refuse := "delete delete-* write-devices copy-devices"
	set("use chroot", yesNo(m.root))
	if !m.root {
		refuse += " copy-links copy-unsafe-links copy-dirlinks keep-dirlinks"
		set("munge symlinks", "no")
	}
	set("refuse options", refuse)
	set("numeric ids", "yes")
	set("reverse lookup", "no")
	set("log file", filepath.Join(m.dir, logName))
	set("timeout", fmt.Sprint(int64(max(m.timeout.Seconds(), 1))))
	set("pre-xfer exec", "exec env -0 >'"+filepath.Join(m.dir, requestName)+"'")
	user := func(id int) {
		if m.root {
			set("uid", fmt.Sprint(id))
			set("gid", fmt.Sprint(id))
		}
	}
	fmt.Fprintf(&b, "[%s]\n", reportsModule)
	set("path", filepath.Join(m.dir, reportsModule))
	set("read only", "no")
	user(nobody)
	set("include from", filepath.Join(m.dir, namesName))
	set("exclude", "*")
	if m.share != "" {
		fmt.Fprintf(&b, "[%s]\n", shareModule)
		set("path", m.share)
		set("read only", "yes")
		user(0)
	}
	return b.String()
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
