package plan

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"b1000/internal/config"
)

// moment is that of the manual's examples.
var moment = time.Date(2014, 8, 20, 15, 40, 4, 999, time.Local)

const common = `
[global]
backup_dir = /srv/backup
scripts_dir = /opt/scripts
[dest:tele]
type = active
path = /srv/tele
exclude = *.bak
[dest:atm]
type = active
path = /srv/atm
keep = 2
bwlimit = 100
[dest:hd]
type = active
path = /srv/hd
`

func load(t *testing.T, text string) *config.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "b1000.cfg")
	if err := os.WriteFile(path, []byte(common+text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, problems, err := config.Load(path)
	if err != nil || len(problems) > 0 {
		t.Fatalf("%v, %v", err, problems)
	}
	return c
}

// push is a job's section with the given further options.
func push(options string) string {
	return "[job:etc]\ndirection = push\ntype = full\ndest = hd& tele/atm\n" + options
}

// env is web1 at the moment of the examples; groups are turned round.
func env() Env {
	return Env{Host: "web1", Now: moment, Shuffle: func(n int, swap func(i, j int)) {
		for i := 0; i < n/2; i++ {
			swap(i, n-1-i)
		}
	}}
}

// outputs is a Shell that knows the output of each command, and counts.
type outputs struct {
	t     *testing.T
	text  map[string]string
	calls []string
}

func (o *outputs) run(_ context.Context, job, command string) (string, error) {
	o.calls = append(o.calls, command)
	text, ok := o.text[command]
	if !ok {
		return "", fmt.Errorf("%s: exit status 1: no such script", command)
	}
	return text, nil
}

// quiet is a Shell that nothing may call.
func quiet(t *testing.T) Shell {
	return func(_ context.Context, job, command string) (string, error) {
		t.Errorf("%s: %s was run", job, command)
		return "", errors.New("not expected")
	}
}

func TestSeveralInstancesEachGetTheirOwnRunTimeOptions(t *testing.T) {
	c := load(t, push(`instances = $scripts_dir/instances.sh
data_age = !delay $instance
master_host = $scripts_dir/master.sh $instance
master_instance = !port $master_host $instance
pre = dump $instance of $master_host to $backup_dir/$name-$host-$instance-$start_time
include = $backup_dir/$name-$host-$instance-$start_time/*
post = rm $master_instance
`))
	sh := &outputs{t: t, text: map[string]string{
		"/opt/scripts/instances.sh": "3306 blue\n3308,4.x\n",
		"delay 3306":                " 7\n", "delay blue": "0", "delay 3308": "1", "delay 4.x": "2",
		"/opt/scripts/master.sh 3306": "db1\n", "/opt/scripts/master.sh blue": "db2", "/opt/scripts/master.sh 3308": "db3", "/opt/scripts/master.sh 4.x": "db4",
		"port db1 3306": "main", "port db2 blue": "p2", "port db3 3308": "p3", "port db4 4.x": "p4",
	}}
	ctx := context.Background()
	instances, err := Instances(ctx, c.Job("etc"), env(), sh.run)
	if err != nil || !slices.Equal(instances, []string{"3306", "blue", "3308", "4.x"}) {
		t.Fatalf("instances %q, %v", instances, err)
	}
	var bases []string
	for _, instance := range instances {
		sh.calls = nil
		r, err := New(ctx, c.Job("etc"), instance, env(), sh.run)
		if err != nil {
			t.Fatal(err)
		}
		dir := "/srv/backup/etc-web1-" + instance + "-2014-08-20-15-40-04"
		if r.Pre != "dump "+instance+" of "+r.MasterHost+" to "+dir || !slices.Equal(r.Include, []string{dir + "/*"}) || r.Post != "rm "+r.MasterInstance {
			t.Errorf("%s: pre %q, include %q, post %q", instance, r.Pre, r.Include, r.Post)
		}
		if len(sh.calls) != 3 {
			t.Errorf("%s: each command is run once, got %q", instance, sh.calls)
		}
		if instance == "3306" && (r.DataAge != 7 || r.MasterHost != "db1" || r.MasterInstance != "main") {
			t.Errorf("data_age %d, master_host %q, master_instance %q", r.DataAge, r.MasterHost, r.MasterInstance)
		}
		bases = append(bases, r.Base())
	}
	want := []string{"web1-3306-db1-main-2014-08-20-Wed-15:40:04", "web1-blue-db2-p2-2014-08-20-Wed-15:40:04",
		"web1-3308-db3-p3-2014-08-20-Wed-15:40:04", "web1-4.x-db4-p4-2014-08-20-Wed-15:40:04"}
	if !slices.Equal(bases, want) {
		t.Errorf("bases %q", bases)
	}
}

func TestCopiesInTheirOrder(t *testing.T) {
	c := load(t, push("include = /etc\nexclude = *.tmp 'a b'\nkeep = 9\nbwlimit = 7\n"))
	r, err := New(context.Background(), c.Job("etc"), "", env(), quiet(t))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range r.Copies {
		got = append(got, fmt.Sprint(c.Dest.Name, c.Background, c.Exclude, c.Keep.Last, " ", c.BWLimit))
	}
	want := []string{"hdtrue [*.tmp a b] 9 7", "atmfalse [*.tmp a b] 2 100", "telefalse [*.tmp a b *.bak] 9 7"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if names := c.Job("etc").Dests[1].Dests; names[0].Name != "tele" || names[1].Name != "atm" {
		t.Error("the shuffle reached the settings")
	}
	if _, err := New(context.Background(), c.Job("etc"), "", Env{Host: "web1", Now: moment}, quiet(t)); err != nil {
		t.Errorf("without Shuffle: %v", err)
	}
}

func TestHostsThatCannotBePartOfAPath(t *testing.T) {
	c := load(t, push("include = /etc"))
	for _, host := range []string{"", "a/b", ".", "..", ".hidden", "-n", "a b", "a\nb"} {
		e := env()
		e.Host = host
		if _, err := New(context.Background(), c.Job("etc"), "", e, quiet(t)); err == nil {
			t.Errorf("host %q is accepted", host)
		}
		if _, err := New(context.Background(), c.Job("etc"), host+"/", env(), quiet(t)); err == nil {
			t.Errorf("instance %q is accepted", host+"/")
		}
	}
}

func TestIncludesAreCheckedOnceTheyAreKnown(t *testing.T) {
	for _, tt := range []struct{ options, err string }{
		{"include = /a/$name /b/etc", "would be merged"},
		{"include = /a/$name /b/etc\nrelative = yes", ""},
		{"include = $instance", "include: names nothing"},
		{"include = $host", `"web1" is not an absolute path`},
		{"include = /a/$name/* '/b c/*'", ""},
		{"include = /a\nexclude_regex = ^$name(", "missing closing"},
	} {
		c := load(t, push(tt.options))
		_, err := New(context.Background(), c.Job("etc"), "", env(), quiet(t))
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v", tt.options, err)
		}
	}
}

func TestAJobWithProblemsIsNotPlanned(t *testing.T) {
	j := &config.Job{Name: "x", Problems: []config.Problem{{File: "b1000.cfg", Line: 3, Section: "job:x", Message: "broken"}}}
	if _, err := New(context.Background(), j, "", env(), quiet(t)); err == nil || err.Error() != "b1000.cfg:3: [job:x] broken" {
		t.Errorf("got %v", err)
	}
}

func TestAJobWithInstancesIsNotPlannedWithoutOne(t *testing.T) {
	c := load(t, push("include = /etc\ninstances = a b"))
	if _, err := New(context.Background(), c.Job("etc"), "", env(), quiet(t)); err == nil {
		t.Error("all instances would be stored in one place")
	}
}

func TestStreamsAreExpandedForTheInstance(t *testing.T) {
	c := load(t, push("streams = dump\ninstances = a")+`
[stream:dump]
command = pg_dump -h $host $instance | tee $backup_dir/$$X
timeout = 5m
`)
	r, err := New(context.Background(), c.Job("etc"), "a", env(), quiet(t))
	if err != nil {
		t.Fatal(err)
	}
	s := r.Streams[0]
	if s.Name != "dump" || s.Type != "command" || s.Options["command"] != "pg_dump -h web1 a | tee /srv/backup/$X" || s.Section.Duration("timeout") != 5*time.Minute {
		t.Errorf("got %+v", s)
	}
}
