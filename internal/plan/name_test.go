package plan

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestWhereABackupIsStored(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		run        Run
	}{
		{"full", "etc/2014-08-20-Wednesday/web1-2014-08-20-Wed-15:40:04", Run{Type: "full"}},
		{"full of an instance", "etc/2014-08-20-Wednesday/web1-3306-2014-08-20-Wed-15:40:04", Run{Type: "full", Instance: "3306"}},
		{"full of a replica", "etc/2014-08-20-Wednesday/web1-3306-db1-main-2014-08-20-Wed-15:40:04",
			Run{Type: "full", Instance: "3306", MasterHost: "db1", MasterInstance: "main"}},
		{"full with a master host alone", "etc/2014-08-20-Wednesday/web1-db1-2014-08-20-Wed-15:40:04", Run{Type: "full", MasterHost: "db1"}},
		{"sync", "etc/web1", Run{Type: "sync"}},
		{"sync of an instance", "etc/web1-3306", Run{Type: "sync", Instance: "3306"}},
		{"sync of a replica", "etc/web1-3306-db1-main", Run{Type: "sync", Instance: "3306", MasterHost: "db1", MasterInstance: "main"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := tt.run
			r.Job, r.Host, r.Start = "etc", "web1", moment
			if got := r.Dir(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			_, start, ok := ParseBase(r.Base())
			if ok != (r.Type == "full") || ok && !start.Equal(moment.Truncate(time.Second)) {
				t.Errorf("%s is read as %v, %v", r.Base(), start, ok)
			}
		})
	}
}

// TestNamesAreEnglishInEveryLocale runs itself again, because a locale is what a
// process is started with.
func TestNamesAreEnglishInEveryLocale(t *testing.T) {
	const day = "2014-08-20-Wednesday"
	if os.Getenv("LC_ALL") != "pl_PL.UTF-8" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestNamesAreEnglishInEveryLocale$")
		cmd.Env = append(os.Environ(), "LC_ALL=pl_PL.UTF-8", "LANG=pl_PL.UTF-8")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
			t.Errorf("%v: %s", err, out)
		}
	}
	r := Run{Job: "etc", Host: "web1", Type: "full", Start: moment}
	if r.Day() != day || r.Base() != "web1-2014-08-20-Wed-15:40:04" || r.StartTime() != "2014-08-20-15-40-04" {
		t.Errorf("got %s, %s, %s", r.Day(), r.Base(), r.StartTime())
	}
}

func TestParseBase(t *testing.T) {
	for _, tt := range []struct {
		base, host string
		ok         bool
	}{
		{"web1-2014-08-20-Wed-15:40:04", "web1", true},
		{"web-1.example-3306-db1-2014-08-20-Wed-15:40:04", "web-1.example-3306-db1", true},
		{"web1-2014-08-20-Thu-15:40:04", "", false}, // was a Wednesday
		{"web1-2014-08-20-Wed-25:40:04", "", false},
		{"web1-2014-02-30-Sun-15:40:04", "", false},
		{"web1-2014-08-20-Wednesday", "", false},
		{"2014-08-20-Wed-15:40:04", "", false},
		{".partial-web1-2014-08-20-Wed-15:40:04", "", false},
		{"web1", "", false},
		{"web1-2014-08-20-śro-15:40:04", "", false},
		{"web1-2014-08-20-Wed-15:40:04.json", "", false},
		{"web1-2014-08-20-Wed-15:40:04\n", "", false},
	} {
		host, start, ok := ParseBase(tt.base)
		if host != tt.host || ok != tt.ok || ok == start.IsZero() {
			t.Errorf("%q: got %q, %v, %v", tt.base, host, start, ok)
		}
	}
}

func TestIDIsTheSameEverywhere(t *testing.T) {
	base := Run{Job: "etc", Host: "web1", Start: time.Date(2014, 8, 20, 15, 40, 4, 0, time.UTC)}
	if got := base.ID(); got != "12c3b4a08e" {
		t.Errorf("got %s", got)
	}
	elsewhere := base
	elsewhere.Start = base.Start.In(time.FixedZone("X", 3*3600))
	if elsewhere.ID() != base.ID() {
		t.Error("the zone changes the id")
	}
	seen := map[string]bool{}
	for _, r := range []Run{
		base,
		{Job: "etc", Host: "web1", Start: base.Start.Add(time.Second)},
		{Job: "etc", Host: "web1", Instance: "a", Start: base.Start},
		{Job: "etc", Host: "web1", MasterHost: "a", Start: base.Start},
		{Job: "etc", Host: "web1", MasterInstance: "a", Start: base.Start},
		{Job: "etc2", Host: "web1", Start: base.Start},
		{Job: "etc", Host: "web2", Start: base.Start},
	} {
		if id := r.ID(); seen[id] || len(id) != 10 {
			t.Errorf("id %q of %+v", id, r)
		}
		seen[r.ID()] = true
	}
}

// Two hosts of one name that begin in the same second.
func TestIDTellsMachinesApart(t *testing.T) {
	c := load(t, push("include = /etc\n"))
	id := func(machine string) string {
		r, err := New(context.Background(), c.Job("etc"), "", Env{Host: "web1", Now: time.Unix(1416500000, 0), Machine: machine}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r.ID()
	}
	a, again, b := id("a"), id("a"), id("b")
	if a == b || a != again || len(a) != 10 {
		t.Errorf("ids %s, %s, %s", a, again, b)
	}
}
