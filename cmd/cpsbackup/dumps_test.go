package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
)

func (s *site) fifo(collection string) string {
	return s.prefix + "/var/cache/canopsis/mongodb/canopsis/" + collection + ".archive"
}

// clean checks that nothing is left of dumps.
func (s *site) clean() {
	s.Helper()
	left, err := filepath.Glob(s.prefix + "/var/cache/canopsis/mongodb/*/*")
	must(s.T, err)
	if _, err := os.Lstat(s.prefix + "/var/lib/cpsbackup/dumps.json"); err == nil {
		left = append(left, "dumps.json")
	}
	if len(left) > 0 {
		s.Errorf("left of dumps: %q", left)
	}
}

// program puts a script in the place of a program.
func (s *site) program(name, script string) {
	s.Helper()
	must(s.T, os.WriteFile(s.bin+"/"+name, []byte(script), 0o755))
}

// good is the number of backups that can be restored.
func (s *site) good() (n int) {
	s.Helper()
	for line := range strings.Lines(s.cps(0, "-l")) {
		if !strings.Contains(line, "(working)") {
			n++
		}
	}
	return n
}

// until waits for something to become so.
func (s *site) until(what string, is func() bool) {
	s.Helper()
	for range 3000 {
		if is() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.Fatal("never: " + what)
}

// processes are those with that text among their arguments.
func (s *site) processes(text string) (list []string) {
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(s.T, err)
	for _, path := range all {
		if line, err := os.ReadFile(path); err == nil && bytes.Contains(line, []byte(text)) {
			list = append(list, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return list
}

// start starts an export, and returns when mongodump is under way: a script that
// writes half of a dump, waits, and writes the rest once there is a file "go".
func (s *site) start() (*exec.Cmd, *bytes.Buffer) {
	s.Helper()
	real, err := exec.LookPath("mongodump")
	must(s.T, err)
	script := `#!/bin/bash
trap "" TERM
REAL "$@" >BIN/dump
head -c 3000 BIN/dump
touch BIN/half
while [ ! -e BIN/go ]; do sleep 0.1; done
tail -c +3001 BIN/dump
`
	s.program("mongodump", strings.NewReplacer("REAL", real, "BIN", s.bin).Replace(script))
	cmd := exec.Command(s.bin+"/cpsbackup", "-e")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	must(s.T, cmd.Start())
	s.Cleanup(func() { _ = os.WriteFile(s.bin+"/go", nil, 0o600) })
	s.until("mongodump runs", func() bool { _, err := os.Stat(s.bin + "/half"); return err == nil })
	must(s.T, os.Remove(s.bin+"/half"))
	return cmd, &out
}

// A backup before stays what it is when a later one fails, whatever fails.
func TestOneBadDumpAmongGoodOnes(t *testing.T) {
	s := newSite(t)
	s.fill("object", 0, 300)
	s.fill("events_log", 0, 300)
	want := s.digest("object") + s.digest("events_log")
	s.cps(0, "-e")
	s.clean()
	real, err := exec.LookPath("mongodump")
	must(t, err)
	run := real + " \"$@\""
	for name, test := range map[string]struct{ script, want string }{
		"killed half way":     {run + " | head -c 3000\nkill -9 $$", "collection events_log of database canopsis: mongodump: ended by signal 9"},
		"killed at its end":   {run + "\nkill -9 $$", "ended by signal 9"},
		"failed at its end":   {run + "\necho no luck >&2\nexit 3", "exit status 3: no luck"},
		"cut short, status 0": {run + " | head -c 3000", "cut short"},
		"nothing, status 0":   {"exit 0", "collection events_log of database canopsis: was not there when it was dumped"},
		"something, status 0": {"echo something else", "no archive"},
		"cannot be run":       {"exec /nowhere/at/all", "exit status 127"},
	} {
		s.program("mongodump", "#!/bin/bash\ncase \"$*\" in *collection=object*) exec "+run+";; esac\n"+test.script+"\n")
		said := s.cps(1, "-e")
		if !strings.Contains(said, test.want) || !strings.Contains(said, "no backup was made") {
			t.Errorf("%s: want %q:\n%s", name, test.want, said)
		}
		s.clean()
		if n := s.good(); n != 1 {
			t.Errorf("%s: %d good backups, want 1", name, n)
		}
	}
	must(t, os.Remove(s.bin+"/mongodump"))
	s.fill("object", 300, 310)
	s.cps(0, "-i")
	if got := s.digest("object") + s.digest("events_log"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	s.clean()
}

// Without a server nothing is stored, and that is said soon.
func TestExportWithoutAServer(t *testing.T) {
	s := newSite(t)
	s.fill("object", 0, 10)
	s.storage("object")
	s.cps(0, "-e")
	s.db.Kill()
	if said := s.cps(1, "-e"); !strings.Contains(said, "collection object of database canopsis: connect: ") {
		t.Errorf("export: %s", said)
	}
	s.clean()
	if n := s.good(); n != 1 {
		t.Errorf("%d good backups, want 1", n)
	}
}

// One at a time; one that is killed leaves nothing that runs, and nothing that
// hinders the next.
func TestExportIsKilled(t *testing.T) {
	s := newSite(t)
	s.fill("object", 0, 300)
	s.storage("object")
	cmd, _ := s.start()
	for _, verb := range []string{"-e", "-i"} {
		if said := s.cps(75, verb); !strings.Contains(said, "a backup or a restore of this node is running already") {
			t.Errorf("a second one: %s", said)
		}
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	s.until("everything has ended", func() bool { return len(s.processes(s.prefix+"/"))+len(s.processes(s.bin+"/mongodump")) == 0 })
	if info, err := os.Lstat(s.fifo("object")); err != nil || info.Mode() != os.ModeNamedPipe|0o600 {
		t.Fatalf("the FIFO: %v, %v", info, err)
	}
	must(t, os.Remove(s.bin+"/mongodump"))
	must(t, syscall.Mkfifo(s.fifo("not_listed_any_more"), 0o600))
	if n := s.good(); n != 0 {
		t.Errorf("%d good backups, want none", n)
	}
	s.cps(0, "-e")
	s.clean()
	if n := s.good(); n != 1 {
		t.Errorf("%d good backups, want 1", n)
	}

	// What a restore that was killed has left.
	must(t, os.MkdirAll(filepath.Dir(s.fifo("object")), 0o700))
	must(t, os.WriteFile(s.fifo("object"), []byte("half a dump"), 0o600))
	s.cps(0, "-e")
	s.clean()
	want := s.digest("object")
	s.cps(0, "-i")
	if got := s.digest("object"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}

	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd, out := s.start()
		must(t, cmd.Process.Signal(signal))
		_ = cmd.Wait()
		if got := cmd.ProcessState.ExitCode(); got != 130 {
			t.Errorf("%v: exit status %d, want 130\n%s", signal, got, out)
		}
		s.clean()
		if left := append(s.processes(s.prefix+"/"), s.processes(s.bin+"/mongodump")...); len(left) > 0 {
			t.Errorf("%v: left: %q", signal, left)
		}
		must(t, os.Remove(s.bin+"/mongodump"))
	}
	if n := s.good(); n != 2 {
		t.Errorf("%d good backups, want 2", n)
	}
}

// Nobody dumps for a b1000 that is called by itself, and an exclude_regex never
// leaves out a dump.
func TestABackupWithoutItsDumps(t *testing.T) {
	s := newSite(t)
	s.fill("object", 0, 10)
	s.storage("object")
	s.cps(0, "-e")
	status := s.prefix + "/var/lib/cpsbackup/"
	for _, old := range []string{"", `{"run":"","dumps":[{"ended":true}]}`, `{"run":"old","dumps":[{"ended":true}]}`} {
		if old != "" {
			must(t, os.WriteFile(status+"dumps.json", []byte(old), 0o600))
		}
		for _, only := range []string{"", "pre"} { // with pre, and with before_commit alone
			cfg, err := os.ReadFile(status + "b1000.cfg")
			must(t, err)
			if only != "" {
				cfg = bytes.Replace(cfg, []byte("\npre = "), []byte("\n# pre = "), 1)
			}
			must(t, os.WriteFile(status+"plain.cfg", cfg, 0o600))
			out, err := exec.Command(s.bin+"/b1000", "-f", status+"plain.cfg", "node").CombinedOutput()
			if err == nil || !strings.Contains(string(out), "make it with cpsbackup -e") {
				t.Errorf("b1000 without %q, states %q: %v\n%s", only, old, err, out)
			}
		}
	}
	node, err := os.ReadFile(s.prefix + "/etc/backup/node.conf")
	must(t, err)
	s.write("etc/backup/node.conf", string(node)+"exclude_regex=object\\.archive$\n")
	if said := s.cps(1, "-e"); !strings.Contains(said, "collection object of database canopsis: the backup leaves out its dump, "+s.fifo("object")) {
		t.Errorf("export: %s", said)
	}
	s.clean()
	if n := s.good(); n != 1 {
		t.Errorf("%d good backups, want 1", n)
	}
}

// What somebody else writes into a FIFO is not part of a dump.
func TestADumpIsMixedUp(t *testing.T) {
	s := newSite(t)
	s.fill("object", 0, 300)
	s.storage("object")
	cmd, out := s.start()
	other, err := os.OpenFile(s.fifo("object"), os.O_WRONLY|syscall.O_NONBLOCK, 0)
	must(t, err)
	_, err = other.WriteString("something")
	must(t, errors.Join(err, other.Close(), os.WriteFile(s.bin+"/go", nil, 0o600)))
	if err := cmd.Wait(); err == nil || !strings.Contains(out.String(), "what was stored is not its dump; something else has read or written "+s.fifo("object")) {
		t.Errorf("%v\n%s", err, out)
	}
	if n := s.good(); n != 0 {
		t.Errorf("%d good backups, want none", n)
	}
}

// The directory of the dumps within a larger include: they come back as files,
// which are gone afterwards, also when the database cannot be reached.
func TestADumpWithinALargerInclude(t *testing.T) {
	s := newSite(t)
	s.fill("object", 0, 300)
	s.storage("object")
	node, err := os.ReadFile(s.prefix + "/etc/backup/node.conf")
	must(t, err)
	text := strings.ReplaceAll(string(node), "/var/cache/canopsis/mongodb\n", "/var/cache\n")
	s.write("etc/backup/node.conf", strings.ReplaceAll(text, "read_all_fifos=1\n", ""))
	s.write("var/cache/other", "other\n")
	want := s.digest("object")
	s.cps(0, "-e")
	s.fill("object", 300, 400)
	s.write("var/cache/other", "changed\n")
	s.cps(0, "-i")
	if got := s.digest("object"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, _ := os.ReadFile(s.prefix + "/var/cache/other"); string(got) != "other\n" {
		t.Errorf("other: %q", got)
	}
	s.clean()

	// A failure of the database.
	s.program("mongorestore", "#!/bin/sh\n[ -s "+s.fifo("object")+" ] && echo the dump is there >&2\nexit 7\n")
	if said := s.cps(1, "-i"); !strings.Contains(said, "exit status 7: the dump is there") {
		t.Errorf("import: %s", said)
	}
	s.clean()
}

// A dump of a collection is as it was at some time, while documents come and go.
func TestExportOfTwoCollectionsDuringInserts(t *testing.T) {
	s := newSite(t)
	s.fill("object", 0, 300)
	s.fill("events_log", 0, 300)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	events, closes := s.collection("events_log")
	defer closes()
	go func() {
		defer close(done)
		for i := 1000; ctx.Err() == nil; i++ {
			_, _ = events.InsertOne(ctx, bson.D{{Key: "_id", Value: i}}) // the last one is cut off
		}
	}()
	s.cps(0, "-e")
	stop()
	<-done
	objects := s.digest("object")
	_, err := events.DeleteMany(t.Context(), bson.D{})
	must(t, err)
	s.cps(0, "-i")
	if got := s.digest("object"); got != objects {
		t.Errorf("object: got %s, want %s", got, objects)
	}
	n, err := events.CountDocuments(t.Context(), bson.D{{Key: "_id", Value: bson.D{{Key: "$lt", Value: 300}}}})
	if err != nil || n != 300 {
		t.Errorf("%d of 300 documents are back, %v", n, err)
	}
	s.clean()
}
