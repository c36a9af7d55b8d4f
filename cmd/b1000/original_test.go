package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"b1000/internal/report"
)

// original is a client of a fleet that has not moved yet: it writes the report
// file of the original program byte for byte, not at once, and waits for an
// answer by looking.
type original struct {
	*site
	dir, job, instance, host, to string
	start                        time.Time
}

func (o original) file() string {
	return o.dir + "/" + o.job + "-" + o.instance + "-" + o.start.Format("2006-01-02-15-04-05") + ".b1k"
}

func (o original) write(step, status, copied string) {
	o.Helper()
	instance := strings.TrimRight("instance = "+o.instance, " ")
	text := fmt.Sprintf("[jobstatus:%s]\nhost = %s\nname = %s\n%s\nmaster_host =\nmaster_instance =\ndirection = passive\nstart_time = %s\nstep = %s\nstatus = %s\ndata_age = 7\n\n[dest:atm]\ntype = passive\npath = pull://%s\nstatus = %s\n",
		o.job, o.host, o.job, instance, o.start.Format(time.DateTime), step, status, o.to, copied)
	f, err := os.Create(o.file())
	o.must(err)
	for _, half := range []string{text[:len(text)/2], text[len(text)/2:]} {
		_, err = f.WriteString(half)
		o.must(err)
	}
	o.must(f.Close())
}

// answer waits for what the host that pulls says, "done" or "error", and takes
// all of it away.
func (o original) answer() (said string) {
	o.Helper()
	o.until("an answer to "+o.file(), func() bool {
		found, _ := filepath.Glob(o.file() + "." + o.to + ".*")
		for _, f := range found {
			said = strings.TrimPrefix(filepath.Ext(f), ".")
			if info, err := os.Stat(f); err != nil || info.Size() != 0 {
				o.Errorf("%s: %v, %v", f, info, err)
			}
			o.must(os.Remove(f))
		}
		return len(found) > 0
	})
	return said
}

// An original client, an hour ahead and an hour behind, with reports of other
// runs lying about.
func TestPullFromAnOriginal(t *testing.T) {
	for _, tt := range []struct {
		name  string
		clock time.Duration
	}{{"an hour ahead", time.Hour}, {"an hour behind", -time.Hour}} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair(t)
			now := time.Now().Add(tt.clock).Truncate(time.Second)
			o := original{site: p.site, dir: p.dir + "/reports", job: "ext", host: "client7", to: p.host, start: now}
			stale := o
			stale.start = now.Add(-25 * time.Hour)
			stale.write("COPYING", "OK", "COPYING")
			other := o
			other.start, other.to = now.Add(-time.Minute), "backup-9"
			other.write("COPYING", "OK", "COPYING")
			o.write("INIT", "OK", "INIT")
			storage := p.storage()
			p.until("a look", func() bool { return strings.Contains(storage.said(), "ext of client7 is at step INIT") })
			o.write("COPYING", "OK", "COPYING")
			if said := o.answer(); said != "done" {
				t.Errorf("answer: %s", said)
			}
			o.write("POST", "OK", "DONE")
			p.must(os.Remove(o.file()))
			storage.wait(0)
			p.has(p.fetched("stor", 1), "/system/", "/client7-")
			if r := p.rows()[0]; r.Host != "client7" || r.Job != "ext" || r.Direction != "passive" || !r.Start.Equal(now) || r.DataAge != 7 || r.Status != report.OK {
				t.Errorf("row: %+v", r)
			}
			if !p.exists("reports/" + filepath.Base(stale.file())) {
				t.Error("a report that is not ours to remove has gone")
			}
		})
	}
}

// An original client that fails after it was seen at work.
func TestPullFromAnOriginalThatFails(t *testing.T) {
	p := newPair(t)
	o := original{site: p.site, dir: p.dir + "/reports", job: "ext", host: "client7", to: p.host, start: time.Now().Truncate(time.Second)}
	o.write("PRE", "OK", "INIT")
	storage := p.storage()
	p.until("a look", func() bool { return strings.Contains(storage.said(), "at step PRE") })
	o.write("PRE", "FAILED", "INIT")
	p.has(storage.wait(1), "ext of client7 failed on the client at step PRE")
	if said := o.answer(); said != "error" {
		t.Errorf("answer: %s", said)
	}
	if r := p.rows()[0]; r.Host != "client7" || r.Status != report.Failed {
		t.Errorf("row: %+v", r)
	}
}

// An original storage host: rsync by its own rules against our passive run.
func TestAnOriginalPulls(t *testing.T) {
	for _, end := range []string{"done", "error"} {
		t.Run(end, func(t *testing.T) {
			p := newPair(t)
			client := p.client()
			var file string
			p.until("a report at COPYING", func() bool {
				p.must(os.MkdirAll(p.dir+"/fetched", 0o755))
				_ = exec.Command("rsync", "-a", "--timeout=20", "--contimeout=20", p.daemon.URL+"/reports/ext--*.b1k", p.dir+"/fetched/").Run()
				found, _ := filepath.Glob(p.dir + "/fetched/*")
				if len(found) != 1 {
					return false
				}
				file = found[0]
				return strings.Contains(p.read("fetched/"+filepath.Base(file)), "step = COPYING")
			})
			text := p.read("fetched/" + filepath.Base(file))
			want := fmt.Sprintf("[jobstatus:ext]\nhost = %s\nname = ext\ninstance =\nmaster_host =\nmaster_instance =\ndirection = passive\nstart_time = ", p.host)
			if !strings.HasPrefix(text, want) || !strings.HasSuffix(text, "step = COPYING\nstatus = OK\ndata_age = 0\n\n[dest:atm]\ntype = passive\npath = pull://"+p.host+"\nstatus = COPYING\n") {
				t.Errorf("report:\n%s", text)
			}
			p.copyTree(p.daemon.URL+"/backup", p.dir+"/pulled")
			answer := p.dir + "/" + filepath.Base(file) + "." + p.host + "." + end
			p.must(os.WriteFile(answer, nil, 0o644))
			if out, err := exec.Command("rsync", "-a", answer, p.daemon.URL+"/reports/").CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if end == "done" {
				client.wait(0)
				p.noReports()
			} else {
				p.has(client.wait(1), "says that fetching failed")
			}
			same(t, p.src, p.dir+"/pulled")
			if p.read("posts") != "post\n" {
				t.Error("post did not run")
			}
		})
	}
}
