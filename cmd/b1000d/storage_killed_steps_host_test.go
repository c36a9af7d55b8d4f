package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"b1000/internal/rsync"
	"b1000/internal/testhost"
)

// backups changes what web1 has, and lets both make a backup. The server is killed at
// m, if there is one.
func (k *killing) backups(m *moment) {
	k.t.Helper()
	large := m != nil && strings.HasSuffix(m.seen, largeHalf)
	k.web1.MustRun("bash", "-ec", fmt.Sprintf(`cd /srv/data; rm -r new; mkdir new; for f in {1..300}; do echo %d $f >new/$f; done
if %t; then rm -r bulk; mv ../next/1 bulk; fi; cp -a . ../was/%[1]d`, k.runs, large && m.client == "web1"))
	retries := strings.Count(k.web1.Journal("-u", "b1000@data", "-o", "cat"), "; trying again in ")
	first, job := fmt.Sprintf("first%d", k.runs), "data"
	if m != nil && m.client == "web2" {
		job = first
	}
	kill := k.killAt(m, job, k.usual["backup"])
	one, other := k.start(k.web2, "systemctl", "start", "b1000@"+first), k.start(k.web1, "systemctl", "start", "b1000@data")
	kill()
	o1 := <-one
	k.firstOne(first, o1.err, m == nil)
	o2 := <-other
	journal := k.web1.Journal("-u", "b1000@data", "-o", "cat")
	if o2.err != nil {
		k.t.Fatalf("%+v: web1 has not gone on by itself:\n%s", m, journal)
	}
	if m == nil {
		k.usual["backup"] = o2.took
	} else if strings.Count(journal, "; trying again in ") > retries {
		k.hit["a backup"]++
	}
	k.oneMore(m)
	if large && m.client == "web2" { // for those to come it has done what it is for
		k.web2.Remove("/srv/data/bulk")
	}
	k.runs++
}

// oneMore checks that web1 has one backup more, and those that are to be kept. Where the
// server was killed before it had deleted the others, they stay until the next run.
func (k *killing) oneMore(m *moment) {
	k.t.Helper()
	now := k.complete(k.web1, "data")
	if len(now) == 0 || slices.Contains(k.good, now[len(now)-1]) {
		k.t.Fatalf("%+v: what was reported good is not among %v", m, now)
	}
	id := now[len(now)-1]
	k.good, k.was[id] = append(k.good, id), k.runs
	want := k.good[max(0, len(k.good)-killedKeep):]
	strange := func(id string) bool { return !slices.Contains(k.good, id) }
	if len(now) < len(want) || !slices.Equal(now[len(now)-len(want):], want) || slices.ContainsFunc(now, strange) {
		k.t.Errorf("%+v: of %v there are %v", m, k.good, now)
	}
	all := k.kept("web1")
	equal(k.t, k.web1.Root+"/srv/data", all[len(all)-1]+"/data")
}

// firstOne checks what became of web2's backup. One that has failed is not there, and
// the next run makes it. Unless it is to be kept it is deleted then, and nothing is left.
func (k *killing) firstOne(job string, err error, keep bool) {
	k.t.Helper()
	if err != nil {
		k.hit["a first backup"]++
		journal := k.web2.Journal("-u", "b1000@"+job, "-o", "cat")
		if got := k.complete(k.web2, job); len(got) > 0 || !killedSentence.MatchString(journal) {
			k.t.Errorf("after %v there are %v; journal:\n%s", err, got, journal)
		}
		k.web2.MustRun("systemctl", "start", "b1000@"+job)
	}
	ids, at := k.complete(k.web2, job), "/srv/store/web2/"+job
	found, _ := filepath.Glob(k.server.Root + at + "/*/web2-*")
	if len(ids) != 1 || len(found) != 1 {
		k.t.Fatalf("%s: there are %v, %v", job, ids, found)
	}
	equal(k.t, k.web2.Root+"/srv/data", found[0]+"/data")
	if keep {
		k.firsts++
		return
	}
	k.web2.MustRun("b1000ctl", "delete", "--last", "--yes", ids[0])
	if exists(k.server, at)() {
		k.t.Errorf("left behind:\n%s", k.server.MustRun("find", at, "-maxdepth", "3"))
	}
}

// verb is one of b1000ctl, on a host.
type verb struct {
	what string
	on   *testhost.Host
	argv []string
}

// verbs asks for all that is no backup at once. The server is killed at m.
func (k *killing) verbs(m *moment) {
	k.t.Helper()
	victim := k.good[0]
	all := []verb{
		{"show", k.web1, []string{"b1000ctl", "show", "data@latest"}},
		{"delete", k.web1, []string{"b1000ctl", "delete", "--yes", victim}},
		{"verify", k.web2, []string{"b1000ctl", "verify", "first1@latest"}},
		{"restore", k.web1, []string{"b1000ctl", "restore", "data@latest", "--to", "/srv/back"}},
		{"list", k.web2, []string{"sh", "-c", `seq 6 | xargs -P 2 -n 1 sh -c 'out=$(b1000ctl list) && echo "$out" | grep -c " complete "'`}},
	}
	kill := k.killAt(m, "data", k.usual["verify"])
	var begun []<-chan outcome
	for _, v := range all {
		begun = append(begun, k.start(v.on, v.argv...))
	}
	kill()
	for i, v := range all {
		o := <-begun[i]
		switch {
		case m == nil && o.err != nil:
			k.t.Fatalf("%s: %v\n%s", v.what, o.err, o.text)
		case m == nil:
			k.usual[v.what] = o.took
		case o.err != nil:
			k.hit[v.what]++
			if !killedSentence.MatchString(o.text) {
				k.t.Errorf("%s fails with %q", v.what, o.text)
			}
		}
		k.again(v, o, victim)
	}
}

// again checks what a verb has done, and that it does all of it when asked again.
func (k *killing) again(v verb, o outcome, victim string) {
	k.t.Helper()
	switch v.what {
	case "restore":
		k.noHalves("/srv/back")
		if o.err != nil {
			v.on.MustRun(v.argv...)
		}
		equal(k.t, k.web1.Root+"/srv/data", k.web1.Root+"/srv/back/data")
		k.web1.Remove("/srv/back")
	case "show":
		if k.shown == "" {
			k.shown = o.text
		}
		if again := v.on.MustRun(v.argv...); again != k.shown || o.err == nil && o.text != k.shown {
			k.t.Errorf("shown are %d and %d bytes; want %d", len(o.text), len(again), len(k.shown))
		}
	case "delete":
		k.deleted(victim, o.err)
	case "verify":
		v.on.MustRun(v.argv...)
	case "list":
		for line := range strings.Lines(o.text) {
			if line != fmt.Sprintln(k.firsts) && !killedSentence.MatchString(line) {
				k.t.Errorf("listed as complete: %s", line)
			}
		}
		if got := strings.Count(v.on.MustRun("b1000ctl", "list"), " complete "); got != k.firsts {
			k.t.Errorf("listed are %d; want %d", got, k.firsts)
		}
	}
}

// noHalves fails where a file that a restore has left is not what it was. What is half
// there has another place.
func (k *killing) noHalves(dir string) {
	k.t.Helper()
	if !exists(k.web1, dir)() {
		return
	}
	out, err := exec.Command("rsync", "-nrci", "--existing", "--delete", "--exclude="+rsync.PartialDir, k.web1.Root+"/srv/data", k.web1.Root+dir+"/").CombinedOutput()
	if strings.Contains(string(out), ">f") || strings.Contains(string(out), "deleting") || err != nil {
		k.t.Errorf("half restored: %v\n%s", err, out)
	}
}

// deleted checks that the oldest backup of web1 is all there or is none any more, and
// deletes what there is of it.
func (k *killing) deleted(id string, err error) {
	k.t.Helper()
	there := k.listed(k.web1, "data")
	if slices.Contains(there["complete"], id) {
		if err == nil {
			k.t.Errorf("deleted, and there: %s", id)
		}
		k.restores(id)
	}
	if slices.Contains(append(there["complete"], there["incomplete"]...), id) {
		k.web1.MustRun("b1000ctl", "delete", "--yes", id)
	}
	k.good = k.good[1:]
	if got := k.complete(k.web1, "data"); !slices.Equal(got, k.good) {
		k.t.Errorf("after delete there are %v; want %v", got, k.good)
	}
}
