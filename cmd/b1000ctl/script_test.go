package main

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"b1000/internal/restic/restictest"
	"b1000/internal/rsync/rsynctest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"b1000ctl": main})
}

// server is the rsync daemon of one script.
type server struct{ daemon *rsynctest.Daemon }

type serverKey struct{}

// TestScript runs the sessions of testdata/script with the real programs. They
// have these commands besides testscript's own:
//
//	config FILE...     put the work directory, the daemon's URL and this host's name for @WORK@, @URL@ and @HOST@
//	daemon start|stop  an rsync daemon over $WORK/net, at $URL; stopped as a power cut would
//	repository DIR     an empty repository of restic's, opened by the file "password" beside it
//	field PATH WANT    the JSON on standard output has that value at a path such as backups.0.id
//	setfield VAR PATH  put the value at a path into a variable
//	rot FILE           one byte of the file changes; its time does not
//	sqlite FILE SQL... run statements, and print the first column of what they return
//	same DIR DIR       both trees are equal in content, names, modes, owners, times and links
func TestScript(t *testing.T) {
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", bin, "b1000/cmd/b1000").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", bin+":"+e.Getenv("PATH"))
			e.Setenv("B1000_CFG", filepath.Join(e.WorkDir, "b1000.cfg"))
			e.Setenv("HOST", host)
			e.Setenv("URL", "rsync://127.0.0.1:1/b1000")
			e.Setenv("TZ", "UTC")
			e.Values[serverKey{}] = &server{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"sqlite": sqlite, "config": fill, "field": field, "setfield": setField, "same": same, "rot": rot,
			"repository": func(ts *testscript.TestScript, _ bool, args []string) {
				text := ts.ReadFile(restictest.New(t, ts.MkAbs(args[0])))
				ts.Check(os.WriteFile(ts.MkAbs("password"), []byte(text), 0o600))
			},
			"daemon": func(ts *testscript.TestScript, _ bool, args []string) { daemon(t, ts, args) },
		},
	})
}

func daemon(t *testing.T, ts *testscript.TestScript, args []string) {
	s := ts.Value(serverKey{}).(*server)
	switch {
	case len(args) == 1 && args[0] == "stop":
		s.daemon.Down()
	case len(args) == 1 && args[0] == "start" && s.daemon == nil:
		ts.Check(os.MkdirAll(ts.MkAbs("net"), 0o755))
		s.daemon = rsynctest.Start(t, ts.MkAbs("net"))
		ts.Setenv("URL", s.daemon.URL)
		ts.Defer(s.daemon.Down)
	default:
		ts.Fatalf("usage: daemon start|stop")
	}
}

func fill(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		text := strings.NewReplacer("@WORK@", ts.Getenv("WORK"), "@URL@", ts.Getenv("URL"), "@HOST@", ts.Getenv("HOST")).Replace(ts.ReadFile(name))
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}

// at is the value at a path in the JSON on standard output, as text.
func at(ts *testscript.TestScript, path string) string {
	var value any
	if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &value); err != nil {
		ts.Fatalf("stdout is not JSON: %v", err)
	}
	for _, part := range strings.Split(path, ".") {
		switch v := value.(type) {
		case map[string]any:
			next, ok := v[part]
			if !ok {
				ts.Fatalf("%s: no field %s", path, part)
			}
			value = next
		case []any:
			n, err := strconv.Atoi(part)
			switch {
			case part == "length":
				return fmt.Sprint(len(v))
			case err != nil || n >= len(v):
				ts.Fatalf("%s: no element %s of %d", path, part, len(v))
			}
			value = v[n]
		default:
			ts.Fatalf("%s: nothing below %v", path, v)
		}
	}
	return fmt.Sprint(value)
}

func field(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: field PATH WANT")
	}
	if got := at(ts, args[0]); (got == args[1]) == neg {
		ts.Fatalf("%s is %q", args[0], got)
	}
}

func setField(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: setfield VAR PATH")
	}
	ts.Setenv(args[0], at(ts, args[1]))
}

// same lets rsync compare, by checksum and in every attribute.
func same(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: same DIR DIR")
	}
	out, err := exec.Command("rsync", "-naiHAX", "--checksum", "--delete", "--modify-window=-1", "--omit-dir-times", ts.MkAbs(args[0])+"/", ts.MkAbs(args[1])+"/").CombinedOutput()
	if err != nil {
		ts.Fatalf("rsync: %v\n%s", err, out)
	}
	if (len(out) == 0) == neg {
		ts.Fatalf("%s and %s differ:\n%s", args[0], args[1], out)
	}
}

// rot changes a file as a bad disk does.
func rot(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: rot FILE")
	}
	info, err := os.Stat(args[0])
	ts.Check(err)
	text := []byte(ts.ReadFile(args[0]))
	text[0] ^= 1
	ts.Check(os.WriteFile(args[0], text, 0))
	ts.Check(os.Chtimes(args[0], info.ModTime(), info.ModTime()))
}

func sqlite(ts *testscript.TestScript, _ bool, args []string) {
	db, err := sql.Open("sqlite", ts.MkAbs(args[0]))
	ts.Check(err)
	defer db.Close()
	for _, query := range args[1:] {
		rows, err := db.Query(query)
		ts.Check(err)
		for rows.Next() {
			var text string
			ts.Check(rows.Scan(&text))
			fmt.Fprintln(ts.Stdout(), text)
		}
		ts.Check(errors.Join(rows.Err(), rows.Close()))
	}
}
