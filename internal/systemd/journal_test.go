package systemd

import (
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// journald is a socket that takes entries.
type journald struct {
	*testing.T
	conn *net.UnixConn
	path string
}

func newJournald(t *testing.T) journald {
	path := filepath.Join(t.TempDir(), "socket")
	return journald{t, listen(t, path), path}
}

// entry reads one entry, as fields in their order: NAME=value.
func (j journald) entry() (fields []string) {
	j.Helper()
	j.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	data, rights := make([]byte, 1<<20), make([]byte, 128)
	n, m, _, _, err := j.conn.ReadMsgUnix(data, rights)
	if err != nil {
		j.Fatal(err)
	}
	data = data[:n]
	if m > 0 {
		data = j.file(rights[:m])
	}
	for rest := string(data); rest != ""; {
		line, after, _ := strings.Cut(rest, "\n")
		if !strings.Contains(line, "=") {
			size := binary.LittleEndian.Uint64([]byte(after))
			line += "=" + after[8:8+size]
			if after[8+size] != '\n' {
				j.Fatalf("no end of %q", line)
			}
			after = after[9+size:]
		}
		fields = append(fields, line)
		rest = after
	}
	return fields
}

// file reads the sealed file that came with a datagram.
func (j journald) file(rights []byte) []byte {
	j.Helper()
	messages, err := syscall.ParseSocketControlMessage(rights)
	if err != nil || len(messages) != 1 {
		j.Fatal(messages, err)
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil {
		j.Fatal(err)
	}
	f := os.NewFile(uintptr(fds[0]), "entry")
	defer f.Close()
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		j.Error("the file can still be written")
	}
	data, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<30))
	if err != nil {
		j.Fatal(err)
	}
	return data
}

func (j journald) logger(level slog.Level) (*slog.Logger, *Journal) {
	j.Helper()
	h, err := NewJournal(j.path, level)
	if err != nil {
		j.Fatal(err)
	}
	return slog.New(h), h
}

func TestEntries(t *testing.T) {
	j := newJournald(t)
	log, _ := j.logger(slog.LevelInfo)
	run := log.With("thread", "web-1:eu", "job", "web-1", "instance", "eu", "run", "abc", "step", "COPYING")
	for _, c := range []struct {
		name string
		say  func()
		want []string
	}{
		{"a run's line", func() { run.With("destination", "hd").Info("copying") },
			[]string{"MESSAGE=copying", "PRIORITY=6", "SYSLOG_IDENTIFIER=b1000", "B1000_JOB=web-1", "B1000_INSTANCE=eu", "B1000_RUN=abc", "B1000_STEP=COPYING", "B1000_DEST=hd"}},
		{"several lines", func() { log.Error("one\ntwo\nPRIORITY=0\n") },
			[]string{"MESSAGE=one\ntwo\nPRIORITY=0", "PRIORITY=3", "SYSLOG_IDENTIFIER=b1000"}},
		{"an event", func() { run.With(MessageKey, "run-failed").Error("ended") },
			[]string{"MESSAGE=ended", "PRIORITY=3", "SYSLOG_IDENTIFIER=b1000", "B1000_JOB=web-1", "B1000_INSTANCE=eu", "B1000_RUN=abc", "B1000_STEP=COPYING",
				"MESSAGE_ID=5c1f8f5a0b0e4a0f9d0c1a7d5e2b1004", "BACKUP_NAME=web-1:eu", "BACKUP_RUN=abc"}},
		{"no such event", func() { log.With(MessageKey, "party").Warn("now") }, []string{"MESSAGE=now", "PRIORITY=4", "SYSLOG_IDENTIFIER=b1000"}},
		{"a later value counts, an empty one is none", func() { log.With("job", "a", "instance", "").With("job", "b").Info("x") },
			[]string{"MESSAGE=x", "PRIORITY=6", "SYSLOG_IDENTIFIER=b1000", "B1000_JOB=b"}},
		{"other attributes", func() { log.Warn("not kept", "error", "no space", "n", 3) },
			[]string{`MESSAGE=not kept error="no space" n=3`, "PRIORITY=4", "SYSLOG_IDENTIFIER=b1000", "B1000_ERROR=no space", "B1000_N=3"}},
		{"names that are no field's", func() { log.With("a b", 1, "ä", 2, strings.Repeat("x", 60), 3).WithGroup("g").With("h", 4).Info("x") },
			[]string{"MESSAGE=x", "PRIORITY=6", "SYSLOG_IDENTIFIER=b1000", "B1000_G_H=4"}},
		{"what a terminal would obey", func() { log.Log(t.Context(), slog.LevelError+4, "a\x1b[2Jb\xffc\td\r") },
			[]string{`MESSAGE=a\x1b[2Jb\xffc` + "\td", "PRIORITY=2", "SYSLOG_IDENTIFIER=b1000"}},
	} {
		c.say()
		if got := j.entry(); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q", c.name, got)
		}
	}
}

func TestTooBigForADatagram(t *testing.T) {
	j := newJournald(t)
	log, _ := j.logger(slog.LevelInfo)
	want := strings.Repeat("0123456789\n", 100000) + "end"
	log.Info(want)
	if got := j.entry(); len(got) != 3 || got[0] != "MESSAGE="+want {
		t.Errorf("%d fields", len(got))
	}
	log.Info("next")
	if got := j.entry(); got[0] != "MESSAGE=next" {
		t.Errorf("got %q", got)
	}
}

func TestLevels(t *testing.T) {
	j := newJournald(t)
	_, h := j.logger(slog.LevelInfo)
	all, brief := slog.New(h), slog.New(h.Brief()).With("job", "etc")
	all.Debug("not 1")
	all.Info("1")
	brief.Info("not 2")
	brief.Warn("2")
	brief.With(MessageKey, "run-ok").Debug("not 3")
	brief.With(MessageKey, "run-ok").Info("3")
	for _, want := range []string{"MESSAGE=1", "MESSAGE=2", "MESSAGE=3"} {
		if got := j.entry(); got[0] != want {
			t.Errorf("got %q, want %s", got, want)
		}
	}
}

// A journald that hangs does not hold up a backup for long.
func TestNobodyReads(t *testing.T) {
	j := newJournald(t)
	s, err := openSocket(j.path)
	if err != nil {
		t.Fatal(err)
	}
	s.late = true
	for range 10000 {
		if err = s.send([]byte("MESSAGE=x\n")); err != nil {
			break
		}
	}
	if err == nil || !s.late {
		t.Fatalf("10,000 entries were taken: %v", err)
	}
	for range 5 {
		j.entry()
	}
	if err := s.send([]byte("MESSAGE=y\n")); err != nil || s.late {
		t.Errorf("%v, late %v", err, s.late)
	}
	if !s.unread() {
		t.Error("all is read")
	}
}

func TestCloseWaitsForTheReader(t *testing.T) {
	j := newJournald(t)
	log, h := j.logger(slog.LevelInfo)
	log.Info("last words")
	closed := make(chan error)
	go func() { closed <- h.Close() }()
	if got := j.entry(); got[0] != "MESSAGE=last words" {
		t.Errorf("got %q", got)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

func TestNoJournald(t *testing.T) {
	if _, err := NewJournal(filepath.Join(t.TempDir(), "gone"), slog.LevelInfo); err == nil || !strings.HasPrefix(err.Error(), "journald: ") {
		t.Errorf("got %v", err)
	}
}

func TestIsJournal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "stream"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]bool{
		fmt.Sprintf("%d:%d", st.Dev, st.Ino): true, fmt.Sprintf("%d:%d", st.Dev, st.Ino+1): false, "": false, "x": false, ":": false,
	} {
		if got := IsJournal(f, func(string) string { return value }); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
}

func TestUnitNames(t *testing.T) {
	for _, c := range []struct{ job, instance, unit string }{
		{"etc", "", "b1000@etc.service"}, {"web-1", "eu.west_2-a", "b1000@web-1:eu.west_2-a.service"}, {"a.service", "", "b1000@a.service.service"},
	} {
		if got := Unit(c.job, c.instance); got != c.unit {
			t.Errorf("got %s, want %s", got, c.unit)
		}
		job, instance, ok := JobOf(c.unit)
		if job != c.job || instance != c.instance || !ok {
			t.Errorf("%s: %q %q %v", c.unit, job, instance, ok)
		}
	}
	if job, _, ok := JobOf(Timer("web-1")); job != "web-1" || !ok {
		t.Errorf("timer: %q %v", job, ok)
	}
	for _, other := range []string{"b1000@.service", "etc.service", "b1000@etc.socket", "b1000@:x.service", "xb1000@etc.service"} {
		if job, _, ok := JobOf(other); ok {
			t.Errorf("%s is of %q", other, job)
		}
	}
}
