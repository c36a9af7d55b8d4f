package config

import "testing"

func TestParseLocation(t *testing.T) {
	for in, want := range map[string]struct{ place, host, path, name string }{
		"rsync://ext/reports":           {"rsync://ext/reports", "ext", "", ""},
		"rsync://ext/reports/":          {"rsync://ext/reports", "ext", "/", ""},
		"rsync://u@ext:8730/m/a/b":      {"rsync://u@ext:8730/m", "ext", "/a/b", "b"},
		"rsync://[fe80::1]:873/m/a/":    {"rsync://[fe80::1]:873/m", "fe80::1", "/a/", ""},
		"web1:/srv/data":                {"web1:", "web1", "/srv/data", "data"},
		"root@web1.example.org:reports": {"root@web1.example.org:", "web1.example.org", "reports", "reports"},
		"rsync://web1/m/.../x":          {"rsync://web1/m", "web1", "/.../x", "x"},
		"/srv/data":                     {},
		"rsync://ext":                   {},
		"rsync://ext/":                  {},
		"rsync:///m":                    {},
		"rsync://-e/m":                  {},
		"http://ext/m":                  {},
		"web1::module":                  {},
		"web1:":                         {},
		"-oProxyCommand=x:/a":           {},
		"-x@web1:/a":                    {},
		"rsync://ext/m/../../etc":       {},
		"web1:/srv/../etc":              {},
		"rsync://ext\n/m":               {},
		"b1000://web1":                  {},
		"./a:b":                         {},
	} {
		l, err := ParseLocation(in)
		if want.place == "" {
			if err == nil {
				t.Errorf("%q: got %+v", in, l)
			}
			continue
		}
		if err != nil || l.Place != want.place || l.Host != want.host || l.Path != want.path || l.Name() != want.name {
			t.Errorf("%q: got %+v, %q, %v", in, l, l.Name(), err)
		}
	}
}

// A report of another of the client's jobs is taken only by a job that does not
// say which and is alone in looking there.
func TestReportJobsAreSettled(t *testing.T) {
	c, problems := loadText(t, `
[dest:d]
type = active
path = /srv
[job:alone]
direction = pull
type = full
dest = d
report_source = rsync://a/r
include = rsync://a/b
[job:says]
direction = pull
type = full
dest = d
report_source = rsync://b/r
report_job = x
include = rsync://b/b
[job:one]
direction = pull
type = full
dest = d
report_source = rsync://c/r
include = rsync://c/b
[job:two]
direction = pull
type = full
dest = d
report_source = rsync://c/r
include = rsync://c/b
`)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for name, want := range map[string]bool{"alone": true, "says": false, "one": false, "two": false} {
		if got := c.Job(name).AnyReportJob; got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
