package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"b1000/internal/restic/restictest"
	"b1000/internal/rsync/rsynctest"
	"b1000/internal/storage/storagetest"
)

// places are all kinds of destinations that there are.
const places = "hd tele host server vault"

// streaming is a site with all kinds of destinations.
type streaming struct {
	*site
	server     *storagetest.Server
	tele       *rsynctest.Daemon
	bin, dests string
}

// newStreaming makes a site whose source holds a FIFO, src/queue, and beside it
// DIR/random, which is more than a piece of the spool.
func newStreaming(t *testing.T) *streaming {
	s := &streaming{site: newSite(t)}
	s.bin = programs(t)
	s.server = storagetest.Start(t, s.bin)
	s.env = append(s.env, "PATH="+s.bin+":"+os.Getenv("PATH"))
	tls := s.server.Admit(t, "web1", "allow = backup list show restore verify")
	s.must(os.Mkdir(s.dir+"/host", 0o755))
	s.must(os.MkdirAll(s.dir+"/vault", 0o700))
	s.write("rsh", "#!/bin/sh\nshift\nexec sh -c \"$*\"\n")
	s.write("src/file", "plain\n")
	s.must(syscall.Mkfifo(s.dir+"/src/queue", 0o640))
	random := make([]byte, 70<<20)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(random)
	s.must(os.WriteFile(s.dir+"/random", random, 0o600))
	s.tele = s.daemon("tele")
	s.dests = dest("tele", s.tele.URL) + dest("host", "there:"+s.dir+"/host", "rsync_options = --rsh=DIR/rsh") +
		dest("server", s.server.URL, "tls_cert = "+tls.Cert, "tls_key = "+tls.Key, "tls_ca = "+tls.CA) +
		"[dest:vault]\ntype = restic\nrepository = DIR/vault\npassword_file = " + restictest.New(t, s.dir+"/vault") + "\n"
	return s
}

// job is a push job to some places.
func job(name, dests string, lines ...string) string {
	return fmt.Sprintf("[job:%s]\ndirection = push\ntype = full\nreport = main\ndest = %s\n%s\n", name, dests, strings.Join(lines, "\n"))
}

// ctl runs b1000ctl.
func (s *streaming) ctl(args ...string) string {
	s.Helper()
	cmd := exec.Command(s.bin+"/b1000ctl", append([]string{"-f", s.dir + "/b1000.cfg"}, args...)...)
	cmd.Env = append(os.Environ(), s.env...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		s.Fatalf("b1000ctl %q: %v\n%s%s", args, err, out, said.String())
	}
	return string(out)
}

// complete are the ids of a job's complete backups at each destination.
func (s *streaming) complete(job string) map[string][]string {
	s.Helper()
	var list struct {
		Backups []struct {
			ID     string
			Copies []struct{ Destination, State string }
		}
	}
	s.must(json.Unmarshal([]byte(s.ctl("list", job, "--json")), &list))
	at := map[string][]string{}
	for _, b := range list.Backups {
		for _, c := range b.Copies {
			if c.State == "complete" {
				at[c.Destination] = append(at[c.Destination], b.ID)
			}
		}
	}
	return at
}

// demand demands so many complete backups at each of these places, and at no other.
func (s *streaming) demand(job string, n int, places string) map[string][]string {
	s.Helper()
	at := s.complete(job)
	for _, p := range strings.Fields("hd tele host server vault slow") {
		want := 0
		if slices.Contains(strings.Fields(places), p) {
			want = n
		}
		if len(at[p]) != want {
			s.Errorf("%s: %d complete backups at %s, want %d", job, len(at[p]), p, want)
		}
	}
	return at
}

// feed writes to a FIFO by a command of the shell, until the test is over.
func (s *streaming) feed(fifo, command string) {
	cmd := exec.Command("sh", "-c", "exec >"+fifo+"; "+command)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.must(cmd.Start())
	s.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); _ = cmd.Wait() })
}

func TestStreamsGoEverywhereInOneReading(t *testing.T) {
	s := newStreaming(t)
	s.config(s.dests, "[stream:big]\ncommand = echo once >>DIR/readings; cat DIR/random\nfile = db/big.bin\n",
		"[stream:packed]\ncommand = seq 1 100000\ncompress = zstd\n",
		job("dumps", places, "include = DIR/src", "read_all_fifos = yes", "streams = big packed"))
	s.feed("src/queue", "seq 1 50000")
	s.b1000(0, "dumps")
	at := s.demand("dumps", 1, places)
	if got := s.read("readings"); got != "once\n" {
		t.Errorf("read: %q", got)
	}
	for _, p := range strings.Fields(places) {
		to := s.dir + "/back-" + p
		s.ctl("restore", at[p][0], "--dest", p, "--to", to)
		for _, same := range []string{
			"cmp " + to + "/db/big.bin random", "cmp " + to + "/src/file src/file",
			"seq 1 50000 | cmp - " + to + "/src/queue", "zstd -dc " + to + "/packed.zst >" + to + ".seq; seq 1 100000 | cmp - " + to + ".seq",
		} {
			cmd := exec.Command("sh", "-c", same)
			cmd.Dir = s.dir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %s: %v: %s", p, same, err, out)
			}
		}
		if info, err := os.Lstat(to + "/src/queue"); err != nil || info.Mode() != 0o640 {
			t.Errorf("%s: the FIFO's mode: %v, %v", p, info.Mode(), err)
		}
	}
	s.ctl("verify")
}

// faults are all that can go wrong with a stream: the end of a command, or what
// the writer of a FIFO does.
var faults = []struct{ job, command, writer, want string }{
	{job: "killed", command: "head -c 30000000 DIR/random; kill -9 $$$$", want: "ended by signal 9"},
	{job: "half", command: "head -c 30000000 DIR/random; exit 3", want: "exit status 3"},
	{job: "piped", command: "(head -c 30000000 DIR/random; exit 4) | cat", want: "exit status 4"},
	{job: "empty", command: "true", want: "is empty"},
	{job: "stalled", command: "head -c 30000000 DIR/random; sleep 1000", want: "no byte came"},
	{job: "unopened", want: "nobody has opened it for writing"},
	{job: "unwritten", writer: "exec sleep 1000", want: "its writer neither writes nor closes it"},
	{job: "unclosed", writer: "cat random; exec sleep 1000", want: "its writer neither writes nor closes it"},
	{job: "nothing", writer: "exit 0", want: "is empty"},
}

// Whatever goes wrong with a stream: nothing is listed as good, the one before
// stays, and the message names job and stream.
func TestStreamsThatFailAreNoBackup(t *testing.T) {
	s := newStreaming(t)
	good, bad, names := s.dests, s.dests, []string{}
	for _, f := range faults {
		names = append(names, f.job)
		command, lines := f.command, []string{"streams = " + f.job, "stall_timeout = 15s"}
		if command == "" {
			s.must(syscall.Mkfifo(s.dir+"/db."+f.job, 0o600))
			command, lines = "echo good", append(lines[1:], "read_fifo = DIR/db."+f.job)
		}
		section := "[stream:" + f.job + "]\nfile = db." + f.job + "\ncommand = "
		good += section + "echo good\n" + job(f.job, places, "streams = "+f.job)
		bad += section + command + "\n" + job(f.job, places, lines...)
		if f.writer != "" {
			s.feed("db."+f.job, f.writer)
		}
	}
	s.config(good)
	s.b1000(0, names...)
	s.config(bad)
	said := s.b1000(1, names...)
	for _, f := range faults {
		for _, p := range strings.Fields(places) {
			if !slices.ContainsFunc(strings.Split(said, "\n"), func(l string) bool {
				return strings.Contains(l, "["+f.job) && strings.Contains(l, "copy to "+p+": stream db."+f.job+": ") && strings.Contains(l, f.want)
			}) {
				t.Errorf("%s: %s: no line with job, stream and %q:\n%s", f.job, p, f.want, said)
			}
		}
		at := s.demand(f.job, 1, places)
		to := "back-" + f.job
		s.ctl("restore", at["hd"][0], "--to", s.dir+"/"+to)
		if got := s.read(to + "/db." + f.job); got != "good\n" {
			t.Errorf("%s: the one before holds %q", f.job, got)
		}
	}
}

// One destination that is slow or dead is dropped, and the others go on.
func TestADeadDestinationIsDropped(t *testing.T) {
	s := newStreaming(t)
	s.write("stuck", "#!/bin/sh\nshift\ncase \"$*\" in *'cat >'*) exec sleep 1000 ;; esac\nexec sh -c \"$*\"\n")
	s.must(os.Mkdir(s.dir+"/slow", 0o755))
	s.config(dest("slow", "there:"+s.dir+"/slow", "rsync_options = --rsh=DIR/stuck"), s.dests,
		"[stream:big]\ncommand = cat DIR/random; touch DIR/now; while test ! -e DIR/go; do sleep 0.1; done; cat DIR/random\n",
		job("dumps", "slow "+places, "streams = big", "stall_timeout = 5s"))
	r := s.start("dumps")
	s.untilThere("now")
	s.tele.Down()
	s.server.Kill()
	s.write("go", "")
	said := r.wait(1)
	for _, want := range []string{"copy to slow: stream big: took nothing of the stream for 5s", "copy to tele: stream big: ", "copy to server: stream big: "} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in\n%s", want, said)
		}
	}
	for _, d := range []string{"hd", "host", "vault"} {
		if !strings.Contains(said, "copied to "+d+": 1 files, 146800640 bytes") {
			t.Errorf("%s has not got it:\n%s", d, said)
		}
	}
	s.tele.Up(t)
	s.must(os.Mkdir(s.dir+"/none", 0o755))
	alive := dest("slow", s.dir+"/slow") + strings.ReplaceAll(s.dests, s.server.URL, s.dir+"/none")
	s.config(alive, "[stream:big]\ncommand = cat DIR/random\n", job("dumps", "slow "+places, "streams = big"))
	at := s.demand("dumps", 1, "hd host vault")

	// What is left to make is made up for, under the same name, with a new dump.
	s.b1000(0, "-c", "dumps")
	for _, ids := range s.demand("dumps", 1, places+" slow") {
		if ids[0] != at["hd"][0] {
			t.Errorf("backup %s, want %s", ids[0], at["hd"][0])
		}
	}
	if left, _ := filepath.Glob(s.dir + "/status/b1000-spool-*"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// A run that is ended in the middle of a stream ends the dump and leaves nothing.
func TestSIGTERMEndsADump(t *testing.T) {
	s := newStreaming(t)
	s.config(s.dests, "[stream:big]\ncommand = echo $$$$ >DIR/pid; cat DIR/random; while :; do cat DIR/src/file; sleep 0.1; done\n", job("dumps", places, "streams = big"))
	r := s.start("dumps")
	s.untilThere("pid")
	s.until("some of it", func() bool {
		out, _ := exec.Command("sh", "-c", "find "+s.dir+"/hd -size +30M | head -1").Output()
		return len(out) > 0
	})
	r.signal(syscall.SIGTERM)
	r.wait(130)
	if _, err := os.Stat("/proc/" + strings.TrimSpace(s.read("pid"))); err == nil {
		t.Error("the dump lives")
	}
	s.demand("dumps", 0, "")
}
