package restic

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"b1000/internal/process"
)

// restic's exit statuses (its manual, Scripting, Exit codes).
const (
	exitUnreadable    = 3
	exitNoRepository  = 10
	exitLocked        = 11
	exitWrongPassword = 12
)

// Error is a restic that failed.
type Error struct {
	Code     int       // its exit status, -1 where it was ended
	Message  string    // what it said last, or the first of what it said
	Failures []Failure // of single files
	Hint     string    // what to do, where that is known
	Cause    error     // why it was ended; nil where it ended by itself
}

// Failure is one file that could not be saved or restored.
type Failure struct {
	Item    string // absolute path; "" where restic does not tell
	Message string
}

func (e *Error) Error() string {
	text := e.Message
	if e.Cause != nil {
		text = e.Cause.Error()
		if e.Message != "" {
			text += "; the last that it said: " + e.Message
		}
	}
	for i, f := range e.Failures {
		if i == keptFailures {
			text += fmt.Sprintf("; and %d more", len(e.Failures)-i)
			break
		}
		text += "; " + f.Message
	}
	text = strings.TrimPrefix(text, "; ")
	if e.Cause == nil {
		text += fmt.Sprintf(" (exit %d)", e.Code)
	}
	if e.Hint != "" {
		text += "\nhint: " + e.Hint
	}
	return "restic: " + text
}

func (e *Error) Unwrap() error { return e.Cause }

// Hopeless reports whether the same call will fail again.
func (e *Error) Hopeless() bool { return e.Code == exitNoRepository || e.Code == exitWrongPassword }

// Unreadable reports a backup of which only single files are missing.
func (e *Error) Unreadable() bool { return e.Cause == nil && e.Code == exitUnreadable }

// Locked reports a repository that others are at work in.
func (e *Error) Locked() bool { return e.Cause == nil && e.Code == exitLocked }

// NoRepository reports that there is none.
func (e *Error) NoRepository() bool { return e.Cause == nil && e.Code == exitNoRepository }

const keptFailures = 5

// Vanished are the paths of the failures that are nothing but files which were
// gone when restic came to them; all reports whether there are no other ones.
func Vanished(failures []Failure) (paths []string, all bool) {
	for _, f := range failures {
		if f.Item == "" || !strings.HasSuffix(f.Message, ": no such file or directory") {
			return paths, false
		}
		paths = append(paths, f.Item)
	}
	return paths, len(paths) > 0
}

// messages sorts restic's standard error.
type messages struct {
	failures []Failure
	text     []string // the last lines that are not JSON
	fatal    string
}

func (m *messages) line(l string) {
	var j struct {
		Type    string `json:"message_type"`
		Message string `json:"message"`
		Error   struct {
			Message string `json:"message"`
		} `json:"error"`
		Item string `json:"item"`
	}
	if !strings.HasPrefix(l, "{") || json.Unmarshal([]byte(l), &j) != nil {
		if len(m.text) == keptLines {
			m.text = m.text[1:]
		}
		m.text = append(m.text, l)
		return
	}
	switch j.Type {
	case "error": // of a file, or of restic check
		m.failures = append(m.failures, Failure{j.Item, cmp.Or(j.Error.Message, strings.TrimSpace(j.Message))})
	case "exit_error":
		m.fatal = strings.TrimPrefix(j.Message, "Fatal: ")
	}
}

const keptLines = 5

// last is the last line of text, which tells what it could not reach.
func (m *messages) last() string {
	if len(m.text) == 0 {
		return ""
	}
	return m.text[len(m.text)-1]
}

// explain makes an *Error of what process.Run returned.
func (r Repository) explain(err error, m *messages) error {
	var ended *process.ExitError
	if !errors.As(err, &ended) {
		return err // not started
	}
	e := &Error{Code: ended.Code, Failures: m.failures, Message: strings.ReplaceAll(m.fatal, "\n", "; ")}
	if e.Message == "" {
		e.Message = strings.Join(m.text, "; ")
	}
	if ended.Cause != nil || ended.Signal != 0 {
		e.Code, e.Cause, e.Message = -1, ended.Cause, m.last()
		if e.Cause == nil {
			e.Cause = fmt.Errorf("ended by signal %d (%v)", int(ended.Signal), ended.Signal)
		}
		return e
	}
	switch e.Code {
	case exitNoRepository:
		e.Message = "there is no repository at " + r.Location
		e.Hint = "make one: " + r.initCommand()
	case exitLocked:
		e.Hint = "if no other restic is at work there: " + r.command("unlock")
	case exitWrongPassword:
		e.Message = "the password does not open " + r.Location
	case exitUnreadable:
		e.Message = "not everything could be read"
		if len(m.text) > 0 {
			e.Message += ": " + strings.Join(m.text, "; ")
		}
	}
	return e
}

// initCommand is the line for a shell that makes the repository.
func (r Repository) initCommand() string { return r.command("init") }

// command is a line for bash that calls restic as we do. It holds no secret.
func (r Repository) command(verb string) string {
	words := []string{"restic", "--repo", quote(r.Location)}
	if r.PasswordFile != "" {
		words = append(words, "--password-file", quote(r.PasswordFile))
	}
	if r.CA != "" {
		words = append(words, "--cacert", quote(r.CA))
	}
	if r.Cert != "" {
		words = append(words, fmt.Sprintf("--tls-client-cert <(cat %s %s)", quote(r.Cert), quote(r.Key)))
	}
	line := strings.Join(append(words, verb), " ")
	if r.EnvironmentFile != "" {
		line = "(set -a; . " + quote(r.EnvironmentFile) + "; " + line + ")"
	}
	return line
}

// quote makes one word of a shell.
func quote(s string) string {
	if s != "" && strings.IndexFunc(s, special) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func special(c rune) bool {
	return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("/._:@%+=,-", c))
}
