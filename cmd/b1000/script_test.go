package main

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"b1000/internal/report"
	"b1000/internal/rsync/rsynctest"
	"b1000/internal/store"
)

// Sessions as an operator has them. Beside testscript's own commands they have:
//
//	rsyncd NAME...       starts daemons that serve $WORK/NAME; @NAME@ is their URL
//	source DIR           makes a tree with all that a backup has to keep
//	fill FILE...         puts directory and URLs in the place of @WORK@ and @NAME@
//	status N ARG...      runs a program and demands its exit status
//	complete VAR DIR N   demands N complete backups; VAR is the last one's tree
//	same DIR DIR         demands that rsync finds no difference
func TestSessions(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("B1000_CFG", e.WorkDir+"/b1000.cfg")
			e.Values["t"] = e.T()
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"rsyncd": startDaemons, "source": makeSource, "fill": fill, "status": status, "complete": complete, "same": compareTrees,
		},
	})
}

func startDaemons(ts *testscript.TestScript, _ bool, names []string) {
	for _, name := range names {
		dir := ts.MkAbs(name)
		ts.Check(os.MkdirAll(dir, 0o755))
		ts.Setenv(name, rsynctest.Start(ts.Value("t").(testing.TB), dir, "use chroot = yes").URL)
	}
}

func makeSource(ts *testscript.TestScript, _ bool, args []string) {
	fillSource(ts.Value("t").(testing.TB), ts.MkAbs(args[0]))
}

func fill(ts *testscript.TestScript, _ bool, files []string) {
	for _, name := range files {
		parts := strings.Split(ts.ReadFile(name), "@")
		for i := 1; i < len(parts)-1; i += 2 {
			parts[i] = ts.Getenv(parts[i])
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(parts[0], "#!") {
			mode = 0o755
		}
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(strings.Join(parts, "")), mode))
		ts.Check(os.Chmod(ts.MkAbs(name), mode))
	}
}

func status(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

func complete(ts *testscript.TestScript, _ bool, args []string) {
	s, err := store.Open(store.Settings{Path: ts.MkAbs(args[1])})
	ts.Check(err)
	list, err := s.List(ts.Value("t").(testing.TB).Context(), "")
	ts.Check(err)
	n := 0
	for _, e := range list {
		if e.State == report.Complete {
			n++
			ts.Setenv(args[0], e.Location)
		}
	}
	if strconv.Itoa(n) != args[2] {
		ts.Fatalf("%s holds %d complete backups, want %s: %+v", args[1], n, args[2], list)
	}
}

func compareTrees(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(compare(ts.MkAbs(args[0]), ts.MkAbs(args[1])))
}
