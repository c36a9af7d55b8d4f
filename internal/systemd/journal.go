package systemd

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Journal is a slog.Handler that writes to journald, each record one entry,
// however many lines its message has.
//
// Attributes bound by With are fields: job, instance, run, step and destination
// are B1000_JOB, B1000_INSTANCE, B1000_RUN, B1000_STEP and B1000_DEST, every
// other one B1000_ and its name in capitals; empty ones and names that cannot be
// a field's are left out. The same holds for the attributes of a record, but
// those that are not among the five follow the message too, as key=value.
// [MessageKey] names an event (see [MessageID]) and becomes MESSAGE_ID; such an
// entry has BACKUP_NAME (job or job:instance), BACKUP_RUN and BACKUP_DEST as
// well, since the texts of a catalog can't name a field with a digit in it. The
// thread, which repeats job and instance for other logs, is left out.
type Journal struct {
	socket *socket
	level  slog.Leveler
	brief  bool
	fields []field
	group  string
}

// NewJournal returns a handler for records of at least the level, which writes
// to the journald that listens at path ([JournalSocket]). The caller calls Close.
func NewJournal(path string, level slog.Leveler) (*Journal, error) {
	s, err := openSocket(path)
	if err != nil {
		return nil, fmt.Errorf("journald: %w", err)
	}
	return &Journal{socket: s, level: level}, nil
}

// Close waits, for a second at most, until journald has read everything. The
// handler and those derived from it must not be used any more.
func (j *Journal) Close() error { return j.socket.close() }

// Brief returns a handler that writes, of the records that j would, warnings,
// errors and what has an event bound to it: for a host whose whole log goes to a
// file.
func (j *Journal) Brief() *Journal {
	next := *j
	next.brief = true
	return &next
}

// Enabled reports whether records of a level are written.
func (j *Journal) Enabled(_ context.Context, l slog.Level) bool {
	return l >= j.level.Level() && (!j.brief || l >= slog.LevelWarn || j.get("MESSAGE_ID") != "")
}

// WithAttrs returns a handler that adds attributes to each record.
func (j *Journal) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *j
	next.fields = slices.Clone(j.fields)
	for _, a := range attrs {
		next.add(j.group, a)
	}
	return &next
}

// WithGroup returns a handler that puts a name before those of attributes.
func (j *Journal) WithGroup(name string) slog.Handler {
	next := *j
	if name != "" {
		next.group += name + "."
	}
	return &next
}

// Handle writes one record.
func (j *Journal) Handle(_ context.Context, r slog.Record) error {
	own := *j
	own.fields = slices.Clone(j.fields)
	message := strings.TrimRight(r.Message, "\r\n")
	r.Attrs(func(a slog.Attr) bool {
		message += own.add(j.group, a)
		return true
	})
	own.forCatalog()
	return j.socket.send(entry(append([]field{
		{"MESSAGE", readable(message)},
		{"PRIORITY", priority(r.Level)},
		{"SYSLOG_IDENTIFIER", "b1000"},
	}, own.fields...)))
}

// forCatalog adds the fields that the catalog's text for an event names.
func (j *Journal) forCatalog() {
	if j.get("MESSAGE_ID") == "" {
		return
	}
	name := j.get("B1000_JOB")
	if instance := j.get("B1000_INSTANCE"); instance != "" {
		name += ":" + instance
	}
	j.set("BACKUP_NAME", name)
	j.set("BACKUP_RUN", j.get("B1000_RUN"))
	j.set("BACKUP_DEST", j.get("B1000_DEST"))
}

func (j *Journal) get(name string) string {
	for _, f := range j.fields {
		if f.name == name {
			return f.value
		}
	}
	return ""
}

// add makes fields of an attribute, and returns what it adds to the message.
func (j *Journal) add(group string, a slog.Attr) (tail string) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, member := range v.Group() {
			tail += j.add(group, member)
		}
		return tail
	}
	key, text := group+a.Key, v.String()
	switch key {
	case "", "thread":
		return ""
	case MessageKey:
		j.set("MESSAGE_ID", MessageID(text))
		return ""
	case "destination":
		j.set("B1000_DEST", text)
		return ""
	case "job", "instance", "run", "step":
		j.set("B1000_"+strings.ToUpper(key), text)
		return ""
	}
	j.set(fieldName(key), text)
	if strings.ContainsAny(text, " \t\n\"=") || text == "" {
		text = strconv.Quote(text)
	}
	return " " + key + "=" + text
}

// set sets a field, in place of one of the same name; an empty one is none.
func (j *Journal) set(name, value string) {
	j.fields = slices.DeleteFunc(j.fields, func(f field) bool { return f.name == name })
	if value != "" {
		j.fields = append(j.fields, field{name, readable(value)})
	}
}

// fieldName is the field for an attribute of another name.
func fieldName(key string) string {
	return "B1000_" + strings.Map(func(r rune) rune {
		if r == '.' || r == '-' {
			return '_'
		}
		return r
	}, strings.ToUpper(key))
}

// priority is a level as syslog(3) counts.
func priority(l slog.Level) string {
	switch {
	case l >= slog.LevelError+4:
		return "2"
	case l >= slog.LevelError:
		return "3"
	case l >= slog.LevelWarn:
		return "4"
	case l >= slog.LevelInfo:
		return "6"
	}
	return "7"
}

// IsJournal reports whether a file is the stream to journald that the service
// manager names in JOURNAL_STREAM (systemd.exec(5)).
func IsJournal(f *os.File, getenv func(string) string) bool {
	dev, ino, ok := strings.Cut(getenv("JOURNAL_STREAM"), ":")
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && strconv.FormatUint(st.Dev, 10) == dev && strconv.FormatUint(st.Ino, 10) == ino
}
