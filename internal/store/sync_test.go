package store

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What sync(1) says of itself: coreutils, busybox, coreutils before 8.24 and
// busybox without options.
const (
	newSync   = "Usage: sync [OPTION] [FILE]...\n  -d, --data  sync only file data\n  -f, --file-system  sync the file systems that contain the files"
	fancySync = "Usage: sync [-df] [FILE]..."
	oldSync   = "Usage: sync [OPTION]\nForce changed blocks to disk, update the super block.\n  --help  display this help and exit\nReport sync bugs to bug-coreutils@gnu.org"
	plainSync = "Usage: sync\n\nWrite all buffered blocks to disk"
)

// A plain sync tells of no fault, so it is no way out of one that sync -f told.
func TestTheOtherHostsSyncIsHeard(t *testing.T) {
	for _, tt := range []struct {
		name, help string
		fails      bool   // any sync of this host
		called     string // how
	}{
		{"coreutils", newSync, false, "-f -- "},
		{"coreutils, an I/O error", newSync, true, "-f -- "},
		{"busybox", fancySync, false, "-f -- "},
		{"busybox, an I/O error", fancySync, true, "-f -- "},
		{"old coreutils", oldSync, false, ""},
		{"old coreutils, an I/O error", oldSync, true, ""},
		{"plain busybox", plainSync, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, dir := context.Background(), t.TempDir()
			calls := fakeSync(t, tt.help, tt.fails)
			must(t, os.Mkdir(dir+"/.partial-a", 0o755))
			h := &sshHost{login: "web1", dir: dir}
			shell := []string{"--rsh=" + fakeShell(t)}
			if err := h.flush(ctx, shell, ".partial-a"); (err != nil) != tt.fails || err != nil && !strings.Contains(err.Error(), "Input/output error") {
				t.Errorf("flush: %v", err)
			}
			if err := h.rename(ctx, shell, ".partial-a", "a"); (err != nil) != tt.fails {
				t.Errorf("rename: %v", err)
			}
			want := "/a"
			if tt.fails {
				want = "/.partial-a"
			}
			if list, _ := filepath.Glob(dir + "/*a"); len(list) != 1 || list[0] != dir+want {
				t.Errorf("the tree is %q", list)
			}
			names := []string{dir + "/.partial-a", dir + "/a"}
			if tt.called == "" {
				names = []string{"", ""}
			}
			got, err := os.ReadFile(calls)
			must(t, err)
			if want := tt.called + names[0] + "\n" + tt.called + names[1] + "\n"; string(got) != want {
				t.Errorf("sync was called with %q, want %q", got, want)
			}
		})
	}
}

// A disk on the other host that loses writes makes no backup.
func TestNothingIsCommittedThatSyncRefuses(t *testing.T) {
	ctx, dir, src := context.Background(), t.TempDir(), t.TempDir()
	must(t, os.WriteFile(src+"/f", []byte("x"), 0o644))
	fakeSync(t, newSync, true)
	p := open(t, "web1:"+dir, dir, "--rsh="+fakeShell(t))
	b, err := p.Begin(ctx, target(1))
	must(t, err)
	_, err = b.Tree(ctx, treeOf(src))
	must(t, err)
	if _, err := b.Commit(ctx, target(1).Manifest); err == nil || !strings.Contains(err.Error(), "Input/output error") {
		t.Errorf("commit: %v", err)
	}
	must(t, b.Close())
	if got := p.states(t); len(got) != 1 || strings.HasPrefix(got[0], "complete ") {
		t.Errorf("got %q", got)
	}
}

// fakeShell runs on this host what it is to run on another.
func fakeShell(t *testing.T) string {
	t.Helper()
	return program(t, "rsh", `while [ "${1#-}" != "$1" ]; do case $1 in -l) shift 2 ;; *) shift ;; esac; done
shift
exec sh -c "$*"`)
}

// fakeSync puts a sync in the place of this host's. It writes down how it is
// called, in the file that is returned.
func fakeSync(t *testing.T, help string, fails bool) (calls string) {
	t.Helper()
	calls = filepath.Join(t.TempDir(), "calls")
	end := "exit 0"
	if fails {
		end = "echo 'sync: Input/output error' >&2; exit 1"
	}
	sync := program(t, "sync", "[ \"$1\" = --help ] && { echo '"+help+"'; exit; }\necho \"$*\" >>"+quote(calls)+"\n"+end)
	t.Setenv("PATH", filepath.Dir(sync)+":"+os.Getenv("PATH"))
	return calls
}

// program writes a shell script.
func program(t *testing.T, name, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755))
	return path
}
