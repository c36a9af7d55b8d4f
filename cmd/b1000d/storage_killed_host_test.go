package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"b1000/internal/rsync"
	"b1000/internal/testhost"
)

// killing is a server that is killed while two clients are at work. web1 has backups,
// and tries again by itself; web2 makes a first one each time, and gives up at once.
type killing struct {
	stores
	t      *testing.T
	usual  map[string]time.Duration // that something takes when nobody is killed
	hit    map[string]int           // how often it was interrupted
	kills  int
	runs   int
	good   []string       // ids of web1's backups, oldest first
	was    map[string]int // of each the run that made it; what it saved is in /srv/was/RUN
	firsts int            // backups of web2
	shown  string         // what show prints of web1's last
}

const (
	killedKeep = 11 // backups of a job
	largeHalf  = "/data/bulk/" + rsync.PartialDir + "/big?"
)

// moment is when the server is killed: as soon as there is something new of that name
// beside a client's backups, with a slash in front on web1 itself, or, where nothing
// can be seen, after a part of the usual time.
type moment struct {
	client, seen string
	part         float64
	main         bool // only the main process; the rest is left to systemd
	brief        bool // it may be over before it is seen
}

var momentsOfBackups = []moment{
	{client: "web2", seen: ".partial-*", main: true},   // they have begun
	{client: "web1", seen: ".partial-*~*/data/many/3"}, // links are made
	{client: "web1", seen: ".partial-*" + largeHalf},   // large files come
	{client: "web2", seen: ".partial-*" + largeHalf, main: true},
	{client: "web2", seen: ".partial-*/data/many/3"}, // and the rest
	{client: "web1", seen: ".partial-*/data/new/1", main: true},
	{client: "web1", seen: ".partial-*/data/new/99"}, // all has come
	{part: 0.8, main: true},                          // and is committed
	{client: "web2", seen: "web2-*", main: true},     // it is there; its digests are taken
	{client: "web1", seen: "web1-*"},
	{client: "web1", seen: ".deleting-*", brief: true}, // retention
}

var momentsOfVerbs = []moment{ // the time is that of verify, which is not the longest
	{part: 0.25}, {part: 0.6, main: true}, {seen: "/srv/back/data/bulk/*big*", brief: true},
	{client: "web1", seen: ".deleting-*", brief: true}, {client: "web1", seen: ".deleting-*", brief: true, main: true},
}

func TestOnHostsTheServerIsKilledAtEachStep(t *testing.T) {
	t.Parallel()
	k := newKilling(t)
	k.backups(nil)
	k.backups(nil)
	for _, m := range momentsOfBackups {
		k.backups(&m)
	}
	k.backups(nil)
	k.good = k.good[len(k.good)-killedKeep:]
	if got := k.complete(k.web1, "data"); !slices.Equal(got, k.good) {
		t.Errorf("kept are %v; want %v", got, k.good)
	}
	k.noneIsLeft(".partial-*")
	k.alone()
	k.verbs(nil)
	for n := range len(momentsOfVerbs) + 3 { // a busy machine may need more
		if n < len(momentsOfVerbs) || len(k.neverHit()) > 0 {
			k.verbs(&momentsOfVerbs[n%len(momentsOfVerbs)])
		}
	}
	k.inTheEnd()
	t.Logf("killed %d times; interrupted were %v", k.kills, k.hit)
	if missed := k.neverHit(); len(missed) > 0 {
		t.Errorf("never interrupted: %v", missed)
	}
}

func (k *killing) neverHit() []string {
	all := []string{"a first backup", "a backup", "list", "show", "restore", "verify", "delete"}
	return slices.DeleteFunc(all, func(what string) bool { return k.hit[what] > 0 })
}

// newKilling gives both clients what takes its time: much, and many.
func newKilling(t *testing.T) *killing {
	t.Helper()
	k := &killing{stores: newStores(t), t: t, usual: map[string]time.Duration{}, hit: map[string]int{}, was: map[string]int{}}
	// It comes back as its unit says, only sooner.
	k.server.Write("/etc/systemd/system/b1000-storage.service.d/soon.conf", "[Service]\nRestartSec=100ms\n", 0o644)
	k.server.MustRun("systemctl", "daemon-reload")
	for name, c := range map[string]*testhost.Host{"web1": k.web1, "web2": k.web2} {
		k.server.Write("/etc/b1000/clients/"+name, fmt.Sprintf("ssl_peer_cn = %s\nkeep = %d\nallow = backup list show restore verify delete\n", name, killedKeep), 0o600)
		c.MustRun("bash", "-ec", `sed -i 's/^copy_retry_min_sleep.*/copy_retry_min_sleep = 0/; s/^path = b1000/compress = no\n&/' /etc/b1000/b1000.cfg
cd /srv/data; mkdir many new ../next ../was; for d in {1..25}; do mkdir many/$d; for f in {1..100}; do echo $d $f >many/$d/$f; done; done
for n in 0 1; do mkdir ../next/$n; truncate -s 68M ../next/$n/big$n; echo $n >>../next/$n/big$n; done; mv ../next/0 bulk`)
	}
	// What the original has left, so that a list is long enough to be met.
	k.server.MustRun("bash", "-ec", "mkdir -p /srv/store/web2/old/2012-02-02-Thursday; cd /srv/store/web2/old/*; mkdir web2-2012-02-02-Thu-{10..19}:{10..59}:{10..19}")
	k.web2.MustRun("bash", "-ec", `sed -i 's/^copy_retries.*/copy_retries = 0/' /etc/b1000/b1000.cfg
for n in {0..30}; do printf '[job:first%d]\ndirection = push\ntype = full\ndest = store\ninclude = /srv/data\n' $n >>/etc/b1000/b1000.cfg; done
sleep 2.1`) // what has just changed does not go in bulk
	return k
}

// outcome is what became of a command.
type outcome struct {
	text string // of both outputs
	err  error
	took time.Duration
}

func (k *killing) start(h *testhost.Host, argv ...string) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		from := time.Now()
		stdout, stderr, err := h.Run(k.t.Context(), argv...)
		done <- outcome{stdout + stderr, err, time.Since(from)}
	}()
	return done
}

// killAt returns what kills the server at m, if there is one, in what begins now and
// usually takes so long.
func (k *killing) killAt(m *moment, job string, usual time.Duration) (kill func()) {
	if m == nil {
		return func() {}
	}
	pattern := filepath.Join(k.server.Root, "/srv/store", m.client, job, "*", m.seen)
	if filepath.IsAbs(m.seen) {
		pattern = k.web1.Root + m.seen
	}
	look := func() []string { found, _ := filepath.Glob(pattern); return found }
	before := look()
	isNew := func(name string) bool { return !slices.Contains(before, name) }
	return func() {
		if m.seen == "" {
			time.Sleep(time.Duration(m.part * float64(usual)))
		}
		patience := 20 * time.Second
		if m.brief {
			patience = 2 * time.Second
		}
		for from := time.Now(); m.seen != "" && !slices.ContainsFunc(look(), isNew); time.Sleep(time.Millisecond) {
			if time.Since(from) < patience {
				continue
			}
			if m.brief {
				break
			}
			k.t.Fatalf("never seen: %+v", m)
		}
		k.kill(m.main)
	}
}

func (k *killing) kill(main bool) {
	k.t.Helper()
	k.kills++
	whom := "--kill-whom=all"
	if main {
		whom = "--kill-whom=main"
	}
	k.server.MustRun("systemctl", "kill", "-s", "KILL", whom, "b1000-storage.service")
}

// alone kills the server while nobody wants anything of it: it comes back by itself.
func (k *killing) alone() {
	k.t.Helper()
	before := property(k.server, "b1000-storage.service", "MainPID")
	k.kill(false)
	k.server.Wait("the server is back", func() bool {
		return property(k.server, "b1000-storage.service", "ActiveState") == "active" && property(k.server, "b1000-storage.service", "MainPID") != before
	})
}

// killedSentence is one that says what is wrong, and where.
var killedSentence = regexp.MustCompile(`store:4200: .*\w|the (storage )?server says: \w`)

// complete are the ids of a job's complete backups, oldest first, as its client sees
// them.
func (k *killing) complete(c *testhost.Host, job string) []string {
	k.t.Helper()
	return k.listed(c, job)["complete"]
}

func (k *killing) listed(c *testhost.Host, job string) map[string][]string {
	k.t.Helper()
	var found struct{ Backups []struct{ ID, State string } }
	must(k.t, json.Unmarshal([]byte(c.MustRun("b1000ctl", "list", "--json", job)), &found))
	ids := map[string][]string{}
	for _, b := range found.Backups {
		ids[b.State] = append(ids[b.State], b.ID)
	}
	return ids
}

func (k *killing) noneIsLeft(name string) {
	k.t.Helper()
	if left, _ := filepath.Glob(k.server.Root + "/srv/store/web*/*/*/" + name); len(left) > 0 {
		k.t.Errorf("left behind: %v", left)
	}
}

// restores brings one of web1's backups back and compares it with what was saved.
func (k *killing) restores(id string) {
	k.t.Helper()
	k.web1.MustRun("b1000ctl", "restore", id, "--to", "/srv/one")
	equal(k.t, fmt.Sprintf("%s/srv/was/%d", k.web1.Root, k.was[id]), k.web1.Root+"/srv/one/data")
	k.web1.Remove("/srv/one")
}

// inTheEnd checks all that is there after a run that nobody disturbs. What is half
// deleted stays for a day, or until somebody deletes it.
func (k *killing) inTheEnd() {
	k.t.Helper()
	k.backups(nil)
	for _, id := range k.complete(k.web1, "data") {
		k.restores(id)
	}
	k.web1.MustRun("b1000ctl", "verify", "--all")
	k.web2.MustRun("b1000ctl", "verify", "--all")
	k.noneIsLeft(".partial-*")
	for _, id := range k.listed(k.web1, "data")["incomplete"] {
		k.web1.MustRun("b1000ctl", "delete", "--yes", id)
	}
	k.noneIsLeft(".[^w]*")
	if got := property(k.server, "b1000-storage.service", "NRestarts"); got != fmt.Sprint(k.kills) {
		k.t.Errorf("killed %d times, it was started again %s times", k.kills, got)
	}
}
