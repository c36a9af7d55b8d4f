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

func TestInstances(t *testing.T) {
	for _, tt := range []struct {
		name, options, output string
		want                  []string
		err                   string
	}{
		{"none", "", "", []string{""}, ""},
		{"written down", "instances = a b,3306", "", []string{"a", "b", "3306"}, ""},
		{"a script without !", "instances = /i", "a\nb\n", []string{"a", "b"}, ""},
		{"a script with !", "instances = !/i", "a, b", []string{"a", "b"}, ""},
		{"a script by way of an option", "instances = $scripts_dir/../i", "a", []string{"a"}, ""},
		{"nothing printed", "instances = /i", " \n", nil, `job "etc": instances: /i printed nothing`},
		{"only separators", "instances = /i", ",", nil, "names no instance"},
		{"a bad name", "instances = /i", "a ../b", nil, `"../b" is not a name`},
		{"a shell's metacharacter", "instances = /i", "a;reboot", nil, `"a;reboot" is not a name`},
		{"a name twice", "instances = /i", "a b a", nil, "a is named twice"},
		{"a script that fails", "instances = /missing", "", nil, "no such script"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := load(t, push("include = /etc\n"+tt.options))
			sh := &outputs{t: t, text: map[string]string{"/i": tt.output, "/opt/scripts/../i": tt.output}}
			got, err := Instances(context.Background(), c.Job("etc"), env(), sh.run)
			if !slices.Equal(got, tt.want) || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestDynamicOptions(t *testing.T) {
	for _, tt := range []struct{ options, output, err string }{
		{"data_age = !x", "12", ""},
		{"data_age = 12", "", ""},
		{"data_age = !x", "", "job \"etc\": data_age: x printed nothing"},
		{"data_age = !x", "1.5", `data_age: "1.5" is not a number of seconds`},
		{"data_age = !x", "-1", `"-1" is not a number of seconds`},
		{"data_age = !x", "NULL", `"NULL" is not a number`},
		{"data_age = !y", "", "data_age: y: exit status 1: no such script"},
		{"master_host = !x", "", "master_host: x printed nothing"},
		{"master_host = !x", "../../etc", `"../../etc" is not a name`},
		{"master_host = !x", "a b", `"a b" is not a name`},
		{"master_instance = !x", ".", `"." is not a name`},
		{"master_instance = $host", "", ""},
		{"master_instance = $instance", "", "master_instance:"},
	} {
		c := load(t, push("include = /etc\n"+tt.options))
		sh := &outputs{t: t, text: map[string]string{"x": tt.output}}
		_, err := New(context.Background(), c.Job("etc"), "", env(), sh.run)
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s (%q): %v", tt.options, tt.output, err)
		}
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

func TestMaxAgeAndNext(t *testing.T) {
	ctx, now := context.Background(), moment
	days := func(gaps ...int) Calendar {
		return func(_ context.Context, schedule string, n int, after time.Time) (times []time.Time, err error) {
			for _, gap := range gaps[:min(n, len(gaps))] {
				after = after.Add(time.Duration(gap) * 24 * time.Hour)
				times = append(times, after)
			}
			return times, nil
		}
	}
	for _, tt := range []struct {
		options  string
		calendar Calendar
		age      time.Duration
		next     time.Time
	}{
		{"", nil, 0, time.Time{}},
		{"max_age = 5h", nil, 5 * time.Hour, time.Time{}},
		{"schedule = daily\nmax_age = 5h", days(1, 1), 5 * time.Hour, now.Add(24 * time.Hour)},
		{"schedule = Mon..Fri 02:00", days(9, 1, 1, 3, 1), 6 * 24 * time.Hour, now.Add(9 * 24 * time.Hour)},
		{"schedule = 2014-01-01", days(), 0, time.Time{}},
	} {
		j := load(t, push("include = /etc\n"+tt.options)).Job("etc")
		age, err := MaxAge(ctx, j, now, tt.calendar)
		if err != nil || age != tt.age {
			t.Errorf("%s: max age %v, %v", tt.options, age, err)
		}
		if next, err := Next(ctx, j, now, tt.calendar); err != nil || !next.Equal(tt.next) {
			t.Errorf("%s: next %v, %v", tt.options, next, err)
		}
	}
}

func TestSelected(t *testing.T) {
	c := load(t, push("include = /etc\n")+"[job:db]\ndirection = push\ntype = full\ndest = hd\ninclude = /srv\ninstances = a b\n")
	for _, tt := range []struct{ args, want, err string }{
		{"", "db etc", ""},
		{"etc", "etc", ""},
		{"db/a db:b etc etc", "db/a db/b etc", ""},
		{"db/a db", "db", ""},
		{"ect", "", `job "ect" is not configured; did you mean etc?`},
		{"nothing", "", `job "nothing" is not configured`},
		{"etc/a", "", `job "etc" has no instances`},
		{"db/", "", `"" is not an instance`},
		{"db/../x", "", `"../x" is not an instance`},
		{"x y", "", "job \"x\" is not configured\njob \"y\" is not configured"},
	} {
		got, err := Selected(c, strings.Fields(tt.args))
		var names []string
		for _, s := range got {
			name := s.Job.Name
			if s.Instance != "" {
				name += "/" + s.Instance
			}
			names = append(names, name)
		}
		if strings.Join(names, " ") != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%q: got %q, %v", tt.args, names, err)
		}
	}
	if _, err := Selected(load(t, ""), nil); err == nil {
		t.Error("no job at all is no error")
	}
}
