package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// job runs one more backup of job etc with these options in place of include.
func (s *site) job(status int, options string) string {
	s.Helper()
	s.config(strings.Replace(etc, "include = DIR/etc\n", "", 1), options, "\n")
	return s.b1000(status)
}

// wanted is what rsync itself would make of the source with these arguments.
func (s *site) wanted(args ...string) string {
	s.Helper()
	to := s.TempDir()
	argv := append(append([]string{"-aHAX", "--numeric-ids"}, args...), s.src, to+"/")
	if out, err := exec.Command("rsync", argv...).CombinedOutput(); err != nil {
		s.Fatalf("rsync %q: %v\n%s", argv, err, out)
	}
	return to + "/etc"
}

// Each option with the same words as rsync's own; the second backup links to
// the first.
func TestWhatBelongsToABackup(t *testing.T) {
	for _, tt := range []struct {
		name, options string
		rsync         []string
	}{
		{"exclude", "include = DIR/etc\nexclude = default/ *line", []string{"--exclude=default/", "--exclude=*line"}},
		{"exclude_regex", "include = DIR/etc\nexclude_regex = /ssh$ gr.b$", []string{"--exclude=/etc/ssh", "--exclude=grub"}},
		{"no hard links", "include = DIR/etc\nhardlink = no", nil},
		{"slow and polite", "include = DIR/etc\nnice = 5\nionice = best-effort:7\nbwlimit = 5000", nil},
		{"trailing slash", "include = DIR/etc/", nil},
		{"glob", "include = DIR/e*", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			want := s.wanted(tt.rsync...)
			for n := range 2 {
				s.job(0, tt.options)
				same(t, want, s.want("hd", n+1)+"/etc")
			}
			a, err := os.Stat(s.complete("hd")[0] + "/etc/passwd")
			s.must(err)
			b, err := os.Stat(s.complete("hd")[1] + "/etc/passwd")
			s.must(err)
			if got := os.SameFile(a, b); got == strings.Contains(tt.options, "hardlink = no") {
				t.Errorf("linked: %t", got)
			}
		})
	}
}

func TestPreserveNothing(t *testing.T) {
	s := newSite(t)
	for n := range 2 {
		s.job(0, "include = DIR/etc\npreserve = none")
		tree := s.want("hd", n+1) + "/etc"
		if size, err := unix.Getxattr(tree+"/passwd", "user.b1000", nil); err == nil {
			t.Errorf("an attribute of %d bytes was kept", size)
		}
		a, err := os.Stat(tree + "/passwd")
		s.must(err)
		b, err := os.Stat(tree + "/passwd-")
		s.must(err)
		if os.SameFile(a, b) {
			t.Error("hard links were kept")
		}
		if out, err := exec.Command("rsync", "-an", "--numeric-ids", "--delete", "-i", s.src+"/", tree+"/").CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("differs: %v\n%s", err, out)
		}
	}
}

func TestRelativeAndSeveralIncludes(t *testing.T) {
	s := newSite(t)
	s.write("other/etc/file", "text")
	out := s.job(2, "include = DIR/etc DIR/other/etc")
	s.has(out, "include")
	s.want("hd", 0)
	for n := range 2 {
		s.job(0, "include = DIR/etc DIR/other/etc\nrelative = yes")
		tree := s.want("hd", n+1)
		same(t, s.src, tree+s.src)
		same(t, s.dir+"/other/etc", tree+s.dir+"/other/etc")
	}
}

func TestMounts(t *testing.T) {
	s := newSite(t)
	s.must(os.Mkdir(s.src+"/mnt", 0o755))
	s.must(unix.Mount("tmpfs", s.src+"/mnt", "tmpfs", 0, "size=1m"))
	s.Cleanup(func() { _ = unix.Unmount(s.src+"/mnt", unix.MNT_DETACH) })
	s.write("etc/mnt/below", "text")
	for n := range 2 {
		s.job(0, "include = DIR/etc\nrequire_mount = DIR/etc/mnt\none_file_system = yes")
		same(t, s.wanted("-x"), s.want("hd", n+1)+"/etc")
	}
	s.job(0, "include = DIR/etc")
	s.good("hd", 3)
	s.must(unix.Unmount(s.src+"/mnt", 0))
	s.has(s.job(1, "include = DIR/etc\nrequire_mount = DIR/etc/mnt\nkeep = 1"), "require_mount "+s.src+"/mnt: nothing is mounted there")
	s.want("hd", 3)
}

// A backup never holds the place that it is written to.
func TestTheDestinationLiesInsideTheSource(t *testing.T) {
	s := newSite(t)
	s.must(os.Mkdir(s.src+"/backup", 0o755))
	for n := range 2 {
		s.config(dest("inside", s.src+"/backup"), strings.Replace(etc, "dest = hd", "dest = inside hd", 1))
		s.b1000(0)
		tree := s.want("etc/backup", n+1)
		if s.exists(strings.TrimPrefix(tree, s.dir+"/") + "/etc/backup/etc") {
			t.Error("the backup holds backups")
		}
		same(t, s.wanted("--exclude=/etc/backup"), s.noBackup(tree))
	}
}

// noBackup is a copy of a backup of etc without the directory backup in it.
func (s *site) noBackup(tree string) string {
	s.Helper()
	to := s.TempDir() + "/etc"
	if out, err := exec.Command("rsync", "-aHAX", "--numeric-ids", "--exclude=/backup", tree+"/etc/", to+"/").CombinedOutput(); err != nil {
		s.Fatalf("copy: %v\n%s", err, out)
	}
	return to
}

// A change of the owner only reaches the new backup and not the older one.
func TestAnOlderBackupKeepsTheOwner(t *testing.T) {
	for _, where := range []string{"hd", "atm"} {
		t.Run(where, func(t *testing.T) {
			s := newSite(t)
			s.config(dest("atm", s.daemon("atm").URL), strings.Replace(etc, "dest = hd", "dest = "+where, 1))
			s.b1000(0)
			s.must(os.Chown(s.src+"/default/grub", 77, 78))
			s.b1000(0)
			s.good(where, 2)
			var st syscall.Stat_t
			s.must(syscall.Stat(s.complete(where)[0]+"/etc/default/grub", &st))
			if st.Uid != 123 || st.Gid != 456 {
				t.Errorf("the older backup belongs to %d:%d now", st.Uid, st.Gid)
			}
		})
	}
}

func TestOptionsOfADestination(t *testing.T) {
	s := newSite(t)
	d := s.daemon("atm")
	var dests string
	for _, name := range []string{"one", "two", "three"} {
		dests += dest(name, d.URL+"/"+name, "max_copies = 1", "compress = zlibx", "bwlimit = 9000", "exclude = grub", `rsync_options = --no-whole-file "--block-size=4096"`)
		s.must(os.Mkdir(s.dir+"/atm/"+name, 0o755))
	}
	s.config(dests, strings.Replace(etc, "dest = hd", "dest = one& two& three hd", 1))
	s.b1000(0)
	for _, name := range []string{"one", "two", "three"} {
		same(t, s.wanted("--exclude=grub"), s.want("atm/"+name, 1)+"/etc")
	}
	s.good("hd", 1)
}

// max_copies holds among all runs of this host.
func TestMaxCopies(t *testing.T) {
	s := newSite(t)
	s.rsyncThat(`case "$*" in *--stats*DIR/hd/*) mkdir -p DIR/at; touch DIR/at/$$; ls DIR/at | wc -l >>DIR/most; "$REAL" "$@"; r=$?; rm DIR/at/$$; exit $r;; esac; exec $REAL "$@"`)
	s.config("[job:etc]\ndirection = push\ntype = full\ndest = hd\nreport = main\ninclude = DIR/etc\ninstances = 1 2 3 4\n")
	s.write("b1000.cfg", strings.Replace(s.read("b1000.cfg"), "path = "+s.dir+"/hd\n", "path = "+s.dir+"/hd\nmax_copies = 1\n", 1))
	s.b1000(0)
	if got := s.read("most"); got != "1\n1\n1\n1\n" {
		t.Errorf("at once: %q", got)
	}
	s.want("hd", 4)
}

// INCIDENTS rsnapshot#351, for a sync that deletes: a source that has gone must
// not empty its copy.
func TestAnEmptySourceEmptiesNoSync(t *testing.T) {
	for _, where := range []string{"hd", "atm"} {
		t.Run(where, func(t *testing.T) {
			s := newSite(t)
			d := s.daemon("atm")
			s.must(os.Mkdir(s.dir+"/data", 0o755))
			s.write("data/file", "text")
			text := fmt.Sprintf("[job:data]\ndirection = push\ntype = sync\ndest = %s-x\nreport = main\ninclude = DIR/data\n", where)
			s.config(dest("hd-x", s.dir+"/hd", "rsync_options = --delete"), dest("atm-x", d.URL, "rsync_options = --delete"), text)
			s.write("data/gone", "text")
			s.b1000(0)
			s.must(os.Remove(s.dir + "/data/gone"))
			s.b1000(0)
			tree := s.want(where, 1)
			same(t, s.dir+"/data", tree+"/data")
			s.must(os.Remove(s.dir + "/data/file"))
			s.has(s.b1000(1), "less files than min_files asks for: 0 of 1")
			if _, err := os.Stat(tree + "/data/file"); err != nil {
				t.Errorf("the copy was emptied: %v", err)
			}
		})
	}
}

func TestALogThatCannotBeWrittenKeepsNoBackupFromBeingMade(t *testing.T) {
	for _, tt := range []struct{ name, file, says string }{
		{"missing directory", "DIR/nope/b1000.log", "logging here instead"},
		{"full disk", "/dev/full", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			s.config(etc)
			s.write("b1000.cfg", strings.Replace(s.read("b1000.cfg"), "[global]\n", "[global]\nlog_file = "+tt.file+"\n", 1))
			s.has(s.b1000(0), tt.says)
			s.good("hd", 1)
			if got := s.last("etc", "").Status; got != "OK" {
				t.Errorf("last: %s", got)
			}
		})
	}
}

// What a script prints is one line of the log for each line, and can't steer a
// terminal; what it leaves running does not hold up the run for ever.
func TestWhatScriptsPrint(t *testing.T) {
	s := newSite(t)
	s.config(etc, "pre = seq 20000; printf 'a\\033[31mb\\n2030-01-01 00:00:00,000 INFO    [etc       ] ended OK\\n'; sleep 60 &\n")
	out := s.b1000(0)
	s.hasNot(out, "\033", "\n2030")
	if n := strings.Count(out, "[seq] "); n != 20002 {
		t.Errorf("%d lines, want 20002", n)
	}
	s.good("hd", 1)
}
