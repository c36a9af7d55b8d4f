package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// words prints dest words as they are written.
func words(dests []DestWord) string {
	var out []string
	for _, w := range dests {
		var names []string
		for _, d := range w.Dests {
			names = append(names, d.Name)
		}
		text := strings.Join(names, "/")
		if w.Shuffle != (len(names) > 1) {
			text += "?"
		}
		if w.Background {
			text += "&"
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

func expand(t *testing.T, j *Job, key string) string {
	t.Helper()
	text, err := j.Expand(key, map[string]string{"name": j.Name, "host": "web1", "instance": "3306", "start_time": "2014-08-20-15-40-04"})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestSamplesMean asserts what the manual says that its examples do.
func TestSamplesMean(t *testing.T) {
	for _, tt := range []struct {
		sample, job, direction, kind, dests, report string
		options                                     map[string]string
	}{
		{"manual-etc", "etc", "push", "full", "tele/atm", "mysql main", map[string]string{"include": "/etc", "pre": "", "post": ""}},
		{"manual-etc-tar", "etc", "push", "full", "tele/atm", "mysql main", map[string]string{
			"pre":     "tar czf /srv/backup/system_backup.tar.gz /etc",
			"include": "/srv/backup/system_backup.tar.gz",
			"post":    "rm -f /srv/backup/system_backup.tar.gz"}},
		{"manual-binlogs", "binlogs", "push", "sync", "hd& tele/atm", "mysql main", map[string]string{
			"pre": "/usr/local/lib/b1000/scripts/mysql_rotate_logs.sh", "include": "/var/lib/mysql/mysql-bin.*"}},
		{"manual-mysqldb", "mysqldb", "push", "full", "hd& tele/atm", "mysql main", map[string]string{
			"instances":       "/usr/local/lib/b1000/scripts/mysql_get_instances.sh",
			"data_age":        "/usr/local/lib/b1000/scripts/mysql_get_slave_delay.sh 3306",
			"master_host":     "/usr/local/lib/b1000/scripts/mysql_get_master_host.sh 3306",
			"master_instance": "/usr/local/lib/b1000/scripts/mysql_get_master_instance.sh 3306",
			"pre":             "/usr/local/lib/b1000/scripts/mysql_dump_instance.sh 3306 /srv/backup/3306-2014-08-20-15-40-04",
			"post":            "rm -rf /srv/backup/3306-2014-08-20-15-40-04",
			"include":         "/srv/backup/3306-2014-08-20-15-40-04/*"}},
		{"manual-passive", "ext", "passive", "", "atm", "file localfile", map[string]string{"pre": "/usr/local/lib/b1000/scripts/ext_dump.sh"}},
		{"manual-pull", "system", "pull", "full", "local", "mysql main", map[string]string{"include": "rsync://ext/backup", "exclude": "*.tmp *.log"}},
		{"minimal", "etc", "push", "full", "disk", "sqlite local", map[string]string{"include": "/etc"}},
		{"grammar", "x.1_y-z", "push", "full", "d", "sqlite local", map[string]string{
			"include": "/etc\n'/srv/my files'",
			"pre":     "echo $HOME costs 5$ && /opt/scripts/x; echo $1 ${y} $(date)"}},
		{"everything", "all", "push", "sync", "a/r& s", "file f", map[string]string{"instances": "3306 3307,blue"}},
	} {
		t.Run(tt.sample, func(t *testing.T) {
			c, _ := load(t, place(t, "testdata/valid/"+tt.sample+".cfg"))
			j := c.Job(tt.job)
			got := fmt.Sprint(j.Direction, "|", j.Type, "|", words(j.Dests), "|", j.Reports[0].Type, " ", j.Reports[0].Name)
			if want := fmt.Sprint(tt.direction, "|", tt.kind, "|", tt.dests, "|", tt.report); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			for key, want := range tt.options {
				if got := expand(t, j, key); got != want {
					t.Errorf("%s: got %q, want %q", key, got, want)
				}
			}
		})
	}
}

func TestDefaultsAndFallbacks(t *testing.T) {
	c, _ := load(t, place(t, "testdata/valid/minimal.cfg"))
	j, d := c.Job("etc"), c.Dest("disk")
	want := Job{Name: "etc", Direction: "push", Type: "full", Schedule: "daily", Persistent: true, StallTimeout: 30 * time.Minute,
		CopyRetries: 3, CopyRetryMinSleep: time.Minute, Keep: Keep{Last: 14, Set: true}, HardLink: true, MinFiles: 1,
		Preserve: Preserve{true, true, true}, ReportPollWait: 10 * time.Second, ReportPollRetries: 360}
	got := *j
	got.File, got.Line, got.Dests, got.Reports, got.section = "", 0, nil, nil, nil
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("job: got %+v\nwant %+v", got, want)
	}
	if d.Verbosity != 1 || d.Split != 1 || d.Compress != "" || d.MaxCopies != 0 || d.Keep.Set {
		t.Errorf("dest: %+v", d)
	}
	if r := c.Report("local"); r == nil || r.Path != LocalReports || j.Reports[0] != r {
		t.Errorf("report: %+v", r)
	}
	if c.Global.LogFormat != "%(asctime)-15s %(levelname)-7s [%(threadName)-10s] %(message)s" || c.Global.LogFile != "/dev/stdout" {
		t.Errorf("global: %+v", c.Global)
	}
}

func TestEveryOptionReachesItsField(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "/run/credentials/b1000")
	c, _ := load(t, place(t, "testdata/valid/everything.cfg"))
	j, p, a, m := c.Job("all"), c.Job("shop"), c.Dest("a"), c.Report("m")
	for name, ok := range map[string]bool{
		"global": c.Global.LogLevel == "ERROR" && c.Global.Parallel == 8 && c.Global.CopyRetries == 0 && c.Global.TextfileDir == "/srv/textfile",
		"retries": j.CopyRetries == 5 && j.CopyRetryMinSleep == time.Second && p.CopyRetries == 0 &&
			p.CopyRetryMinSleep == 2*time.Minute,
		"limits":     j.Timeout == 7*24*time.Hour && j.PreTimeout == time.Hour && j.PostTimeout == 90*time.Second && j.StallTimeout == 0,
		"schedule":   j.RandomizedDelay == 15*time.Minute && !j.Persistent && j.MaxAge == 48*time.Hour && j.Parallel == 2,
		"tree":       j.Relative && j.OneFileSystem && !j.HardLink && j.ReadAllFIFOs && j.MinFiles == 0 && j.Preserve == Preserve{ACLs: true},
		"priority":   *j.Nice == -5 && j.IONice == "best-effort:7" && j.BWLimit == "500",
		"streams":    len(j.Streams) == 2 && j.Streams[1].Text("type") == "mongodb" && j.Streams[0].Bool("allow_empty") && j.Streams[0].Duration("timeout") == time.Hour,
		"passive":    p.Listen == "0.0.0.0:4300" && p.Share == "/srv/share" && p.OnDemand && p.TLSCA == "/etc/b1000/tls/ca.pem" && p.Dests[0].Dests[0].Timeout == 2*time.Minute,
		"dest":       a.Verbosity == 3 && a.Compress == "zstd" && a.BWLimit == "1.5m" && a.MaxCopies == 2 && a.Split == 4 && slices.Equal(a.Exclude, []string{"*.bak"}),
		"rsync":      slices.Equal(a.RsyncOptions, []string{"--checksum", "-M--fake-super", "--no-whole-file"}),
		"keep":       a.Keep == Keep{7, 7, 5, 12, 3, 48 * time.Hour, true},
		"credential": a.PasswordFile == "/run/credentials/b1000/storage",
		"mysql":      m.Port == 3307 && m.TLS == "yes" && m.PasswordFile != "",
		"sqlite":     c.Report("q").Path == LocalReports,
		"storage":    c.Section("storage", "").Keep() == Keep{Last: 5, Set: true} && c.Section("storage", "").Int("port") == 4200,
		"notify":     slices.Equal(c.Sections("notify")[0].Words("when"), []string{"failed", "ok"}) && c.Section("notify", "ops").Text("command") == "/opt/scripts/page $NAME",
	} {
		if !ok {
			t.Errorf("%s is not what the file says", name)
		}
	}
	for _, kind := range []string{"global", "job", "dest", "report"} { // so that the sample stays complete
		for _, o := range Options(kind) {
			given := func(s *Section) bool { return s.Given(o.Name) }
			if !slices.ContainsFunc(c.Sections(kind), given) && !slices.Contains([]string{"conf_d", "password", "report_source", "report_job", "hosts", "report_poll_wait", "report_poll_retries"}, o.Name) {
				t.Errorf("everything.cfg lacks %s of %s", o.Name, kind)
			}
		}
	}
}

func TestExpand(t *testing.T) {
	c, problems := loadText(t, `
[global]
backup_dir = /srv/b$$x
[dest:d]
type = active
path = /srv
[job:a]
direction = push
type = full
dest = d
include = /srv/$name-$host
pre = $backup_dir $$name $$$name $name_x
post = $PRE;$NAME
`)
	if len(problems) != 2 {
		t.Fatalf("problems: %v", problems)
	}
	j := c.Job("a")
	runtime := map[string]string{"name": "$host", "host": "web1"}
	for _, tt := range []struct{ key, want, err string }{
		{"include", "/srv/$host-web1", ""}, // what a run-time name holds is not expanded again
		{"pre", "", `job "a": pre: $name_x is not known`},
		{"post", "", "$name_x is not known"},
		{"exclude", "", ""},
		{"min_files", "1", ""},
	} {
		got, err := j.Expand(tt.key, runtime)
		if (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) || got != tt.want {
			t.Errorf("%s: got %q, %v", tt.key, got, err)
		}
	}
	if _, err := j.Expand("include", nil); err == nil || !strings.Contains(err.Error(), "only while a job runs") {
		t.Errorf("a run-time name without value: %v", err)
	}
	if got := strings.Join(j.Refs("post"), " "); got != "NAME PRE backup_dir name name_x" {
		t.Errorf("refs: %s", got)
	}
}

func TestAValueThatGrowsWithoutEnd(t *testing.T) {
	keys := strings.Fields("pre post on_failure include exclude exclude_regex require_mount read_fifo")
	text := "[job:a]\ndirection = push\n"
	for i, key := range keys[1:] {
		text += keys[i] + " = " + strings.Repeat("$"+key+" ", 20) + "\n"
	}
	_, problems := loadText(t, text+"read_fifo = /x\n")
	if got := lines(problems, ""); !strings.Contains(got, "pre: refers to too many options") {
		t.Errorf("got %s", got)
	}
}
