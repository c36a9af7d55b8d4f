// Package rsync runs stock rsync: options to an argument list, its progress and
// figures back, and a sentence for each way in which it ends. It knows nothing
// of jobs and destinations, and imports internal/process only.
package rsync

import (
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// PartialDir is where the receiving side keeps half of an interrupted file, in
// the directory that the file belongs to. What bears that name is not part of
// a backup.
const PartialDir = ".~b1000-partial~"

// Options says what one rsync has to do. The zero value copies recursively with
// times, modes, owners, links and special files (-a, --numeric-ids).
type Options struct {
	Sources []string // as rsync takes them
	Dest    string

	HardLinks, ACLs, XAttrs bool // -H, -A, -X
	Relative, OneFileSystem bool
	Exclude                 []string // patterns of the man page, each its own --exclude
	FilesFrom               string   // file with NUL-separated names below Sources[0]; no recursion
	LinkDest                []string // link what is unchanged; only for another machine (see internal/snapshot)
	IgnoreExisting          bool
	Delete                  bool
	DryRun                  bool
	Append                  bool // only what a file has grown by is sent, and written behind what is there

	Remote       bool // the other end is another machine: keep partial files, watch the connection
	Daemon       bool // the other end is a daemon: limit the time to connect
	RemoteRoot   bool // the other end is known to be root's, and takes options (-M)
	PasswordFile string
	Password     string // instead of PasswordFile; rsync reads it from its standard input
	Compress     string // as --compress-choice; "" or "no" none
	BWLimit      string // as --bwlimit
	Expect       int64  // bytes that are to be copied, for the progress; 0 not known
	Verbosity    int    // 1 to 3; above 1 each name is logged
	Extra        []string

	// Connect, if not empty, is the command that leads to a daemon, in place of a
	// connection that rsync makes (rsync(1), USING RSYNC-DAEMON FEATURES VIA A
	// REMOTE-SHELL CONNECTION): its input and output are a pair of local sockets,
	// which RSYNC_CONNECT_PROG's are not; those cost a tenth more of the processor.
	Connect string

	Files []*os.File    // inherited, so that a lock lasts as long as rsync
	Stall time.Duration // the longest without a sign of life; 0 five minutes, below 0 no limit
	Nice  []string      // a command that runs another, such as {"nice", "-n", "5"}
}

// Time limits of rsync itself. The original's 20 s without a byte broke copies
// to a daemon whose disk was busy; keep-alive messages make a minute safe.
const (
	ioTimeout      = "--timeout=60"
	connectTimeout = "--contimeout=20"
)

// defaultStall ends an rsync that does nothing at all, such as one whose ssh or
// disk hangs: it would hold locks for ever. It is longer than rsync's own limits,
// which tell more, and than a disk takes to wake up or a server to start anew.
const defaultStall = 5 * time.Minute

// stall is the limit for process.Command, where 0 is none.
func (o Options) stall() time.Duration {
	if o.Stall == 0 {
		return defaultStall
	}
	return max(o.Stall, 0)
}

// notAttributes are filters for what looks like an extended attribute to root, and is
// something else: XFS shows each ACL once more, under a name of its own. A filter
// takes the place of what rsync does without one, which is for root to leave out
// "system." and for others to take only "user.": they must not be given any, and an
// rsync that deletes passes them on to a receiver of which we do not know whose it is.
func notAttributes(to string) []string {
	return []string{to + "--filter=-x trusted.SGI_ACL_*", to + "--filter=-x system.*"}
}

// args is the argument list without the program's name.
func (o Options) args() []string {
	// Without a window of -1 rsync takes two times within a second for equal, and
	// leaves the nanoseconds as they are.
	a := []string{"-a", "--numeric-ids", "--modify-window=-1"}
	add := func(on bool, words ...string) {
		if on {
			a = append(a, words...)
		}
	}
	add(o.HardLinks, "-H")
	add(o.ACLs, "-A")
	add(o.XAttrs, "-X")
	// rsync removes what the other side has not, and on XFS that is the ACL.
	filtered := o.XAttrs && (!o.Remote || o.RemoteRoot) && !slices.ContainsFunc(o.Extra, func(s string) bool { return strings.Contains(s, "fake-super") })
	add(filtered && os.Geteuid() == 0, notAttributes("")...)
	add(filtered && o.RemoteRoot, notAttributes("-M")...)
	add(o.Relative, "-R")
	add(o.OneFileSystem, "-x")
	add(o.IgnoreExisting, "--ignore-existing")
	add(o.Delete, "--delete-delay")
	add(o.DryRun, "-n")
	add(o.FilesFrom != "", "--files-from="+o.FilesFrom, "--from0")
	for _, d := range o.LinkDest {
		add(true, "--link-dest="+d)
	}
	for _, e := range o.Exclude {
		add(true, "--exclude="+e)
	}
	add(o.Remote, ioTimeout)
	add(o.Remote && !o.Append, "--partial-dir="+PartialDir) // rsync refuses the two together
	add(o.Append, "--append")
	add(o.Daemon && o.Connect == "", connectTimeout)
	add(o.PasswordFile != "", "--password-file="+o.PasswordFile)
	add(o.PasswordFile == "" && o.Password != "", "--password-file=-")
	add(o.Compress != "" && o.Compress != "no", "-z", "--compress-choice="+o.Compress)
	add(o.BWLimit != "", "--bwlimit="+o.BWLimit)
	add(true, "--outbuf=L", "--no-human-readable", "--stats", "-8")
	add(o.Verbosity > 1, "--out-format="+itemPrefix+"%i %n")
	for range o.Verbosity - 2 {
		add(true, "-v")
	}
	a = append(a, o.Extra...)
	add(o.Connect != "", "--rsh="+o.Connect)
	a = append(a, "--")
	a = append(a, o.Sources...)
	return append(a, o.Dest)
}

// stdin is what rsync reads: the password, if that is not in a file.
func (o Options) stdin() io.Reader {
	if o.PasswordFile != "" || o.Password == "" {
		return nil
	}
	return strings.NewReader(o.Password + "\n")
}

// itemPrefix marks the lines of --out-format among rsync's others.
const itemPrefix = "@item "

// environment is what rsync gets: enough to find ssh and its keys, messages in
// English, nothing that changes what it does but RSYNC_RSH.
func environment() []string {
	env := []string{"LC_ALL=C"}
	for _, k := range []string{"PATH", "HOME", "USER", "LOGNAME", "SSH_AUTH_SOCK", "RSYNC_RSH", "RSYNC_PROXY", "TMPDIR", "TZ"} {
		if v, ok := os.LookupEnv(k); ok {
			env = append(env, k+"="+v)
		}
	}
	return env
}

// DecodeName turns a name as rsync prints it (with -8) into the name itself:
// rsync(1), --8-bit-output: "\#ooo" stands for the byte with that octal number.
func DecodeName(s string) string {
	if !strings.Contains(s, `\#`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if strings.HasPrefix(s[i:], `\#`) && len(s) >= i+5 {
			if n, err := strconv.ParseUint(s[i+2:i+5], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 4
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
