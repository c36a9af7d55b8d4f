package rsync

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"b1000/internal/process"
)

// rsync's statuses for what the other side refuses, for files that could not be
// copied, and for source files that vanished on the way.
const (
	exitUnsupported = 4
	exitPartial     = 23
	exitVanished    = 24
)

// exits holds a sentence for each exit status of rsync(1), EXIT VALUES, said as
// it is for who reads it at night, with what to look at.
var exits = map[int]string{
	1:   "rsync refused its options or the module is read only",
	2:   "the two rsyncs speak different protocols",
	3:   "rsync could not select its input or output files",
	4:   "the other side refuses an option, or cannot do it",
	5:   "the daemon did not let us in: unknown module, wrong user or password, or host not allowed",
	6:   "the daemon could not write its log",
	10:  "no connection: refused, unreachable or name unknown",
	11:  "reading or writing a file failed: disk full, read-only or missing directory",
	12:  "the connection broke: the other rsync ended or is not there",
	13:  "rsync could not write its messages",
	14:  "rsync could not talk to its other process",
	20:  "rsync was told to end",
	21:  "rsync lost its child",
	22:  "rsync had too little memory",
	23:  "some files could not be copied",
	25:  "rsync stopped at its limit of deletions",
	30:  "the other side did not answer in time",
	35:  "the daemon did not answer in time",
	124: "the remote shell's command failed",
	125: "the remote shell's command was killed",
	126: "the remote shell's command could not be run",
	127: "rsync or the remote shell was not found",
	255: "the remote shell (ssh) could not connect or log in",
}

// Error is an rsync that failed.
type Error struct {
	Code  int      // its exit status
	Lines []string // the first messages, each about one file or the connection
	Count int      // how many messages there were
}

func (e *Error) Error() string {
	text, ok := exits[e.Code]
	if !ok {
		text = "an exit status that its manual does not know"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "rsync: %s (exit %d)", text, e.Code)
	for _, l := range e.Lines {
		b.WriteString("; " + l)
	}
	if more := e.Count - len(e.Lines); more > 0 {
		fmt.Fprintf(&b, "; and %d more messages", more)
	}
	return b.String()
}

// Worthwhile reports whether trying again may help: not where rsync or the
// other side refuses what is asked, and not after a cancel.
func Worthwhile(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		switch e.Code {
		case 1, 2, 4, 126, 127:
			return false
		}
		return true
	}
	return errors.Is(err, process.ErrStalled)
}

// keptLines bounds what an error carries.
const keptLines = 5

// messages sorts rsync's standard error.
type messages struct {
	listed   bool // --files-from: a source that is missing has vanished since it was listed
	failed   []string
	failures int
	vanished []string
	warnings []string
}

var (
	vanishedLine = regexp.MustCompile(`^file has vanished: "(.*)"(?: \(in .*\))?$`)
	missingLine  = regexp.MustCompile(`link_stat "(.*)" failed: No such file or directory \(2\)$`)
	// The last line repeats the exit status with a place in rsync's source.
	summaryLine = regexp.MustCompile(`^rsync (error|warning): .* \(code \d+\) at `)
	sideTag     = regexp.MustCompile(`^rsync: \[[A-Za-z=0-9. ]+\] `)
)

func (m *messages) line(l string) {
	switch {
	case summaryLine.MatchString(l):
	case vanishedLine.MatchString(l):
		m.vanished = keepFirst(m.vanished, DecodeName(vanishedLine.FindStringSubmatch(l)[1]))
	case m.listed && missingLine.MatchString(l):
		m.vanished = keepFirst(m.vanished, DecodeName(missingLine.FindStringSubmatch(l)[1]))
	case strings.HasPrefix(l, "--link-dest arg does not exist: "): // not anywhere: a file may be called that
		m.warnings = keepFirst(m.warnings, l)
	default:
		m.failures++
		m.failed = keepFirst(m.failed, sideTag.ReplaceAllString(l, ""))
	}
}

func keepFirst(list []string, s string) []string {
	if len(list) < keptLines {
		list = append(list, s)
	}
	return list
}
