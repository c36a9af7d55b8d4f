package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"

	"b1000/internal/database/servertest"
	"b1000/internal/mtls/mtlstest"
	"b1000/internal/testhost"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// built holds the programs, which are built once.
var built string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "b1000-programs-")
		if err == nil {
			defer os.RemoveAll(dir)
			built = dir
			err = testhost.Build(context.Background(), dir, "b1000", "b1000ctl", "b1000d", "cpsbackup")
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// programs is a new directory with links to them: cpsbackup finds the others beside itself.
func programs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"b1000", "b1000ctl", "b1000d", "cpsbackup"} {
		must(t, os.Link(filepath.Join(built, name), filepath.Join(dir, name)))
	}
	return dir
}

// site is a Canopsis node with its storage server and its database.
type site struct {
	*testing.T
	prefix, bin string
	db          *servertest.Server
}

// newSite installs a node as the manual describes it and starts the server by
// server.conf.
func newSite(t *testing.T) *site {
	s := &site{T: t, prefix: t.TempDir(), bin: programs(t), db: servertest.FerretDB(t)}
	real, err := exec.LookPath("mongorestore")
	must(t, err)
	// FerretDB refuses the indexes that mongorestore makes.
	must(t, os.WriteFile(s.bin+"/mongorestore", []byte("#!/bin/sh\nexec "+real+" --noIndexRestore \"$@\"\n"), 0o755))
	t.Setenv("PATH", s.bin+":"+os.Getenv("PATH"))
	t.Setenv("CPS_PREFIX", s.prefix)

	port, status := freePort(t), freePort(t)
	s.write("etc/backup/server.conf", fmt.Sprintf("address=127.0.0.1\nport=%d\nstatus_address=127.0.0.1\nstatus_port=%d\nkeep=5\n", port, status))
	s.write("etc/backup/clients/cpsnode", "ssl_peer_cn=cpsnode\n")
	s.write("etc/backup/node.conf", fmt.Sprintf(`server=127.0.0.1
port=%d

include=%[2]s/etc
include=%[2]s/opt/mongodb/load.d/json_object
include=%[2]s/var/cache/canopsis/mongodb
exclude_regex=\.bson\.(pid|lock|state)$
read_all_fifos=1
`, port, s.prefix))
	s.storage("object events_log")
	s.write("opt/mongodb/load.d/json_object/view.json", "{}\n")
	s.write("var/cache/canopsis/mongodb/object.bson.pid", "1\n")
	s.write("var/backup/.keep", "")
	ca := mtlstest.New(t, "canopsis")
	for name, cn := range map[string]string{"server": "127.0.0.1", "node": "cpsnode"} {
		cert, key := ca.Issue(t, cn, mtlstest.Address(cn))
		s.copyFile(cert, "etc/ssl/"+name+".crt")
		s.copyFile(key, "etc/ssl/"+name+".key")
	}
	s.copyFile(ca.File, "etc/ssl/ca.crt")
	s.serve(port)
	return s
}

// serve starts the storage server with the configuration of server.conf.
func (s *site) serve(port int) {
	s.Helper()
	cfg := filepath.Join(s.TempDir(), "b1000.cfg")
	must(s.T, os.WriteFile(cfg, []byte(s.cps(0, "--server-config")), 0o600))
	cmd := exec.Command(s.bin+"/b1000d", "-f", cfg, "storage")
	var log bytes.Buffer
	cmd.Stderr = &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	must(s.T, cmd.Start())
	s.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if s.Failed() {
			s.Logf("storage server:\n%s", log.String())
		}
	})
	for range 500 {
		if c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			c.Close()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.Fatal("the storage server does not answer")
}

func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func (s *site) write(name, text string) {
	s.Helper()
	path := filepath.Join(s.prefix, name)
	must(s.T, os.MkdirAll(filepath.Dir(path), 0o755))
	must(s.T, os.WriteFile(path, []byte(text), 0o600))
}

func (s *site) copyFile(from, to string) {
	text, err := os.ReadFile(from)
	must(s.T, err)
	s.write(to, string(text))
}

// storage writes storage.conf.
func (s *site) storage(collections string) {
	s.write("etc/backup/storage.conf", fmt.Sprintf("port = %d\ncollections = %s\n", s.db.Port, collections))
}

// cps runs cpsbackup, which has to end with that status, and returns what it
// says.
func (s *site) cps(status int, args ...string) string {
	s.Helper()
	cmd := exec.Command(s.bin+"/cpsbackup", args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != status {
		s.Fatalf("cpsbackup %q: exit status %d, want %d\n%s%s", args, got, status, out.String(), errs.String())
	}
	if status != 0 {
		return out.String() + errs.String()
	}
	return out.String()
}

// collection is one of the database. Its connection has to be closed while the
// server runs, or the driver waits for that for half a minute.
func (s *site) collection(name string) (c *mongo.Collection, closes func()) {
	s.Helper()
	client, err := mongo.Connect(s.Context(), options.Client().ApplyURI(fmt.Sprintf("mongodb://127.0.0.1:%d", s.db.Port)))
	must(s.T, err)
	return client.Database("canopsis").Collection(name), func() { _ = client.Disconnect(context.Background()) }
}

func (s *site) fill(collection string, from, to int) {
	s.Helper()
	var list []any
	for i := from; i < to; i++ {
		list = append(list, bson.D{{Key: "_id", Value: i}, {Key: "text", Value: strings.Repeat("x", 100)}})
	}
	c, closes := s.collection(collection)
	defer closes()
	_, err := c.InsertMany(s.Context(), list)
	must(s.T, err)
}

// digest is one of all documents of a collection.
func (s *site) digest(collection string) string {
	s.Helper()
	c, closes := s.collection(collection)
	defer closes()
	all, err := c.Find(s.Context(), bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
	must(s.T, err)
	h, n := sha256.New(), 0
	for ; all.Next(s.Context()); n++ {
		h.Write(all.Current)
	}
	must(s.T, all.Err())
	return fmt.Sprintf("%d %x", n, h.Sum(nil))
}

// The manual, line by line: export, list, show, delete, import.
func TestTheManual(t *testing.T) {
	s := newSite(t)
	s.fill("object", 0, 500)
	s.fill("events_log", 0, 20)
	objects, events := s.digest("object"), s.digest("events_log")
	s.cps(0, "--export")
	view, err := os.ReadFile(s.prefix + "/opt/mongodb/load.d/json_object/view.json")
	must(t, err)

	// Another state, another backup; what the first one held comes back.
	s.fill("object", 500, 600)
	s.write("opt/mongodb/load.d/json_object/view.json", "changed\n")
	fifo := s.prefix + "/var/cache/canopsis/mongodb/extra.bson"
	must(t, syscall.Mkfifo(fifo, 0o600))
	go func() { _ = os.WriteFile(fifo, []byte("from a FIFO"), 0o600) }() // what is not written is missing below
	s.cps(0, "-e")
	list := s.cps(0, "-l")
	if !regexp.MustCompile(`^Backup: 0000001 \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \(deletable\)\nBackup: 0000002 \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\n$`).MatchString(list) {
		t.Errorf("list:\n%s", list)
	}
	show := s.cps(0, "-s", "1")
	for _, want := range []string{"mongodb/canopsis/object.archive", "mongodb/canopsis/events_log.archive", "json_object/view.json", "etc/backup/node.conf"} {
		if !strings.Contains(show, want) {
			t.Errorf("show lacks %s:\n%s", want, show)
		}
	}
	if strings.Contains(show, "bson.pid") {
		t.Error("what exclude_regex leaves out is there")
	}
	s.cps(0, "-i", "1")
	if got := s.digest("object"); got != objects {
		t.Errorf("object: got %s, want %s", got, objects)
	}
	if got := s.digest("events_log"); got != events {
		t.Errorf("events_log: got %s, want %s", got, events)
	}
	if got, _ := os.ReadFile(s.prefix + "/opt/mongodb/load.d/json_object/view.json"); !bytes.Equal(got, view) {
		t.Errorf("view.json: %q", got)
	}
	s.clean()

	// Only the server may let something be removed.
	if said := s.cps(1, "-d", "1"); !strings.Contains(said, "delete is not allowed to client cpsnode") {
		t.Errorf("delete: %s", said)
	}
	s.write("etc/backup/clients/cpsnode", "ssl_peer_cn=cpsnode\nallow = backup list show restore delete\n")
	if said := s.cps(1, "-d", "2"); !strings.Contains(said, "backup 0000002 is the newest: it stays") {
		t.Errorf("delete: %s", said)
	}
	s.cps(0, "-d", "1")
	if list := s.cps(0, "-l"); strings.Contains(list, "0000001") || !strings.Contains(list, "Backup: 0000002") {
		t.Errorf("list:\n%s", list)
	}

	// Into a fresh database.
	s.db.Kill()
	s.db = servertest.FerretDB(t)
	s.storage("object events_log")
	s.cps(0, "-i")
	if got, err := os.ReadFile(fifo); string(got) != "from a FIFO" {
		t.Errorf("the FIFO has become %q, %v", got, err)
	}
	s.storage("object events_log") // -i has brought back the one of then
	if got := s.digest("object"); got[:4] != "600 " {
		t.Errorf("object: got %s, want 600 documents", got)
	}
}

// A dump that fails invalidates the backup; five good ones are kept.
func TestAFailedDumpIsNoBackup(t *testing.T) {
	s := newSite(t)
	s.fill("object", 0, 50)
	s.storage("object nowhere")
	if said := s.cps(1, "-e"); !strings.Contains(said, "no backup was made") || !strings.Contains(said, "collection nowhere of database canopsis does not exist") {
		t.Errorf("export: %s", said)
	}
	if list := s.cps(0, "-l"); strings.Contains(list, "deletable") || strings.Contains(list, "\n") && !strings.Contains(list, "(working)") {
		t.Errorf("list:\n%s", list)
	}
	if said := s.cps(1, "-i"); !strings.Contains(said, "there is no backup yet") {
		t.Errorf("import: %s", said)
	}

	// A dump that dies half way: what has come of it is no backup.
	real, err := exec.LookPath("mongodump")
	must(t, err)
	must(t, os.WriteFile(s.bin+"/mongodump", []byte("#!/bin/bash\n"+real+" \"$@\" | head -c 3000\nkill -9 $$\n"), 0o755))
	s.storage("object")
	if said := s.cps(1, "-e"); !strings.Contains(said, "object.archive") || !strings.Contains(said, "signal 9") {
		t.Errorf("export: %s", said)
	}
	if said := s.cps(1, "-i"); !strings.Contains(said, "there is no backup yet") {
		t.Errorf("import: %s", said)
	}
	must(t, os.Remove(s.bin+"/mongodump"))
	for i := range 6 {
		s.fill("object", 50+i, 51+i)
		s.cps(0, "-e")
	}
	list := s.cps(0, "-l")
	if n := len(regexp.MustCompile(`(?m)^Backup: \d+ \S+ \S+( \(deletable\))?$`).FindAllString(list, -1)); n != 5 {
		t.Errorf("%d good backups, want 5:\n%s", n, list)
	}
	want := s.digest("object")
	s.cps(0, "-i")
	if got := s.digest("object"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A backup that is made while documents are inserted restores: what it has of a
// collection is whole documents, and all that were there before.
func TestExportDuringInserts(t *testing.T) {
	s := newSite(t)
	s.storage("object")
	s.fill("object", 0, 300)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	objects, closes := s.collection("object")
	defer closes()
	go func() {
		defer close(done)
		for i := 1000; ctx.Err() == nil; i++ {
			_, _ = objects.InsertOne(ctx, bson.D{{Key: "_id", Value: i}, {Key: "text", Value: "new"}}) // the last one is cut off
		}
	}()
	s.cps(0, "-e")
	stop()
	<-done
	_, err := objects.DeleteMany(t.Context(), bson.D{})
	must(t, err)
	s.cps(0, "-i")
	n, err := objects.CountDocuments(t.Context(), bson.D{{Key: "_id", Value: bson.D{{Key: "$lt", Value: 300}}}})
	if err != nil || n != 300 {
		t.Errorf("%d of 300 documents are back, %v", n, err)
	}
}

func TestUsage(t *testing.T) {
	s := &site{T: t, bin: programs(t)}
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "no option says what to do"},
		{[]string{"-l", "-e"}, "one thing at a time, not --export and --list"},
		{[]string{"-x"}, "unknown shorthand flag"},
		{[]string{"-l", "1"}, `"1" is too much`},
		{[]string{"-s"}, "needs an argument"},
		{[]string{"-p", t.TempDir(), "-l"}, "etc/backup/node.conf: cannot be read"},
	} {
		if said := s.cps(2, test.args...); !strings.Contains(said, test.want) {
			t.Errorf("%q: %s", test.args, said)
		}
	}
	if help := s.cps(0, "-h"); !strings.Contains(help, "-e, --export") || !strings.Contains(help, "example:") {
		t.Errorf("help:\n%s", help)
	}
}
