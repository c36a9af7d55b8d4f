package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"b1000/internal/report"
)

// The manual's example as it stands, twice: what has not changed is linked.
func TestPullExample(t *testing.T) {
	p := newPair(t)
	var trees []string
	for n := 1; n <= 2; n++ {
		client := p.client()
		out := p.storage().wait(0)
		client.wait(0)
		trees = append(trees, p.fetched("stor", n))
		p.has(out, "copied to local", "ended OK")
		p.noReports()
	}
	p.has(trees[1], "/stor/system/", "/"+p.host+"-")
	sameFile := func(name string) bool {
		a, err := os.Lstat(trees[0] + "/" + name)
		p.must(err)
		b, err := os.Lstat(trees[1] + "/" + name)
		p.must(err)
		return os.SameFile(a, b)
	}
	if !sameFile("default/grub") || sameFile("dump") {
		t.Errorf("linked: grub %v, dump %v", sameFile("default/grub"), sameFile("dump"))
	}
	rows := p.rows()
	if len(rows) != 2 {
		t.Fatalf("rows: %+v", rows)
	}
	last := p.lastOf("client", "ext", "")
	if r := rows[0]; r.Host != p.host || r.Job != "ext" || r.Direction != "passive" || r.Step != report.StepDone || r.Status != report.OK ||
		!r.Start.Equal(last.Start) || len(r.Copies) != 1 || r.Copies[0].Status != report.CopyDone || r.Copies[0].Path != p.dir+"/stor" {
		t.Errorf("row: %+v; the client began at %v", r, last.Start)
	}
	if got := p.read("posts"); got != "post\npost\n" {
		t.Errorf("posts: %q", got)
	}
	p.storage("-c").wait(0) // there is nothing to take up
	p.client("-c").wait(0)
}

// A failure of the client is told as the client's, and nothing is stored.
func TestPullFromAClientWhosePreFails(t *testing.T) {
	p := newPair(t)
	p.put("scripts/ext_dump.sh", "#!/bin/sh\nuntil [ -e DIR/go ]; do sleep 0.05; done\necho no space; exit 3\n")
	storage := p.storage()
	client := p.client()
	p.until("the client's report", func() bool { return strings.Contains(p.report(), "step = PRE") })
	p.until("a row of it", func() bool { return p.exists("reports.db") && len(p.rows()) == 1 })
	p.write("go", "")
	client.wait(1)
	p.has(storage.wait(1), "ext of "+p.host+" failed on the client at step PRE")
	p.want("stor", 0)
	rows := p.rows()
	if len(rows) != 1 || rows[0].Status != report.Failed || rows[0].Step != report.StepPre || rows[0].Direction != "passive" {
		t.Errorf("rows: %+v", rows)
	}
	p.has(p.report(), "status = FAILED")
	if p.exists("posts") {
		t.Error("post ran")
	}

	// What is left of that does not hinder the next runs, whichever begins first.
	p.put("scripts/ext_dump.sh", dumpScript)
	storage = p.storage()
	p.until("a look", func() bool { return strings.Contains(storage.said(), "waiting for the client") })
	p.client().wait(0)
	storage.wait(0)
	p.fetched("stor", 1)
	p.noReports()
}

// The host that pulls is killed while it copies: the client waits, then cleans
// up. The next pull is good.
func TestPullKilledInMidCopy(t *testing.T) {
	p := newPair(t)
	p.rsyncThat(`case "$*" in *DIR/stor*) [ -e DIR/stop ] && rm DIR/stop && $REAL "$@" && touch DIR/stopped && exec sleep 1000;; esac; exec $REAL "$@"`)
	p.put("client.cfg", strings.Replace(clientHead, "timeout = 60", "timeout = 4", 1)+clientJob)
	p.write("stop", "")
	client := p.client()
	storage := p.storage()
	p.untilThere("stopped")
	storage.signal(syscall.SIGKILL)
	storage.wait(-1)
	p.has(client.wait(1), "has not fetched within 4s")
	if p.read("posts") != "post\n" {
		t.Error("post did not run")
	}
	p.want("stor", 0)
	storage = p.storage()
	p.put("client.cfg", clientHead+clientJob)
	p.client().wait(0)
	storage.wait(0)
	p.fetched("stor", 1)
	p.noReports()
	if left := p.list("stor"); len(left) != 1 {
		t.Errorf("left: %+v", left)
	}
}

// The client's machine dies while it is fetched from, and is back for the next try.
func TestClientDiesInMidPull(t *testing.T) {
	p := newPair(t)
	p.rsyncThat(`case "$*" in *DIR/stor*) [ -e DIR/stop ] && rm DIR/stop && $REAL "$@"; [ -e DIR/halt ] && { touch DIR/halted; until [ -e DIR/down ]; do sleep 0.05; done; rm DIR/halt; };; esac; exec $REAL "$@"`)
	p.put("storage.cfg", strings.Replace(storageHead, "copy_retries = 0", "copy_retries = 5", 1)+storageJob)
	p.write("halt", "")
	client := p.client()
	storage := p.storage()
	p.untilThere("halted")
	p.daemon.Down()
	p.write("down", "")
	p.until("a failure", func() bool { return strings.Contains(storage.said(), "trying again") })
	p.daemon.Up(t)
	storage.wait(0)
	client.wait(0)
	p.fetched("stor", 1)
}

// A client that gives up while it is fetched from has removed its data: that is
// no backup, though rsync was content.
func TestClientGivesUpInMidPull(t *testing.T) {
	p := newPair(t)
	p.rsyncThat(`case "$*" in *DIR/stor*) $REAL "$@"; rc=$?; touch DIR/copied; until [ -e DIR/go ]; do sleep 0.05; done; exit $rc;; esac; exec $REAL "$@"`)
	p.put("client.cfg", strings.Replace(clientHead, "timeout = 60", "timeout = 3", 1)+clientJob)
	client := p.client()
	storage := p.storage()
	p.untilThere("copied")
	client.wait(1)
	p.write("go", "")
	p.has(storage.wait(1), "the client has not waited for the end")
	p.want("stor", 0)
}

// An interrupted pull tells its client, which does not wait in vain.
func TestPullInterrupted(t *testing.T) {
	p := newPair(t)
	p.rsyncThat(`case "$*" in *DIR/stor*) touch DIR/copying; exec sleep 1000;; esac; exec $REAL "$@"`)
	client := p.client()
	storage := p.storage()
	p.untilThere("copying")
	storage.signal(syscall.SIGTERM)
	p.has(storage.wait(130), "ended FAILED")
	p.has(client.wait(1), p.host+": says that fetching failed")
	if p.read("posts") != "post\n" {
		t.Error("post did not run")
	}
	if rows := p.rows(); len(rows) != 1 || rows[0].Status != report.Failed || rows[0].Direction != "passive" {
		t.Errorf("rows: %+v", rows)
	}
}

// Several destinations at the end that pulls: one that fails fails the run, and
// is told to the client; the other has its backup.
func TestPullToSeveralDestinations(t *testing.T) {
	p := newPair(t)
	job := strings.Replace(storageJob, "dest = local", "dest = local& second", 1)
	p.put("storage.cfg", storageHead+job)
	client := p.client()
	p.storage().wait(0)
	client.wait(0)
	p.fetched("stor", 1)
	p.fetched("second", 1)

	p.must(os.RemoveAll(p.dir + "/second"))
	client = p.client()
	p.has(p.storage().wait(1), "copy to second")
	p.has(client.wait(1), "says that fetching failed")
	p.fetched("stor", 2)
}

// A sync keeps one copy, and an empty source does not empty it.
func TestPullSync(t *testing.T) {
	p := newPair(t)
	p.put("storage.cfg", strings.Replace(storageHead, "verbosity = 1", "rsync_options = --delete", 1)+strings.Replace(storageJob, "type = full", "type = sync", 1))
	for range 2 {
		client := p.client()
		p.storage().wait(0)
		client.wait(0)
		p.fetched("stor", 1)
		p.must(os.Remove(p.src + "/dump"))
		p.write("etc/more", time.Now().String())
	}
	p.must(os.Rename(p.src, p.dir+"/away"))
	p.must(os.Mkdir(p.src, 0o755))
	p.put("scripts/ext_dump.sh", "#!/bin/sh\n")
	client := p.client()
	p.has(p.storage().wait(1), "less files than min_files")
	client.wait(1)
	if !p.exists("stor/system/" + p.host + "/default/grub") {
		t.Error("the copy was emptied")
	}
}

// What a client serves is data, whatever it is.
func TestPullOfDevicesAndSetuidFiles(t *testing.T) {
	p := newPair(t)
	p.must(syscall.Mknod(p.src+"/null", syscall.S_IFCHR|0o666, 1<<8|3))
	p.must(os.WriteFile(p.src+"/su", []byte("#!/bin/sh\n"), 0o755))
	p.must(os.Chmod(p.src+"/su", 0o755|os.ModeSetuid))
	p.must(os.Symlink("/etc/passwd", p.src+"/outside"))
	client := p.client()
	p.storage().wait(0)
	client.wait(0)
	tree := p.fetched("stor", 1)
	if info, err := os.Stat(filepath.Dir(filepath.Dir(tree))); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("others may reach it: %v, %v", info.Mode(), err)
	}
}
