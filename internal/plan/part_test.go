package plan

import (
	"context"
	"slices"
	"strings"
	"testing"

	"b1000/internal/config"
)

const pullJob = `
[job:ext]
direction = pull
type = sync
dest = hd
report_source = rsync://$client:8730/reports
include = rsync://$client:8730/a/x rsync://$client:8730/a/y $client:/srv/z
`

func pulled(t *testing.T, lines string) *config.Job {
	t.Helper()
	return load(t, pullJob+lines).Job("ext")
}

var storage = Env{Host: "backup-2", Now: moment}

func TestPartsOfAJobWithHosts(t *testing.T) {
	sh := func(_ context.Context, _, command string) (string, error) {
		return strings.TrimPrefix(command, "/list "), nil
	}
	for lines, want := range map[string]string{
		"hosts = web1 web2\n":                            "web1 web2",
		"hosts = web1 web2\ninstances = 3306 3307\n":     "web1:3306 web1:3307 web2:3306 web2:3307",
		"hosts = web1 web2\ninstances = /list $client\n": "web1:web1 web2:web2",
	} {
		got, err := Instances(t.Context(), pulled(t, lines), storage, sh)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: got %q, %v", lines, got, err)
		}
	}
	// Two clients must not be able to store into one place.
	_, err := Instances(t.Context(), pulled(t, "hosts = a a-b\ninstances = b-c c\n"), storage, sh)
	if err == nil || !strings.Contains(err.Error(), "a:b-c and a-b:c would both be stored as a-b-c") {
		t.Errorf("got %v", err)
	}
}

func TestNewForAClient(t *testing.T) {
	job := pulled(t, "hosts = web1 web2\ninstances = 3306\n")
	r, err := New(t.Context(), job, "web2:3306", storage, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Client != "web2" || r.Instance != "3306" || r.Host != "web2" || r.Dir() != "ext/web2-3306" || r.ReportJob != "ext" ||
		r.ReportSource != "rsync://web2:8730/reports" {
		t.Errorf("got %+v", r)
	}
	want := [][]string{{"rsync://web2:8730/a/x", "rsync://web2:8730/a/y"}, {"web2:/srv/z"}}
	if !slices.EqualFunc(r.Fetch, want, slices.Equal) {
		t.Errorf("fetch: %q", r.Fetch)
	}
	for part, want := range map[string]string{
		"": `"" is none of its hosts`, "web3:3306": `"web3" is none of its hosts`, "web1": "none is named",
		"web1:../x": "is not a name", "3306": `"3306" is none of its hosts`,
	} {
		if r, err := New(t.Context(), job, part, storage, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %+v, %v", part, r, err)
		}
	}
}

// The host of a job without hosts is the one that is contacted, where it has a
// name, until the client tells its own.
func TestTheExpectedHost(t *testing.T) {
	for source, want := range map[string]string{
		"rsync://ext/reports": "ext", "root@ext.example.org:/r": "ext.example.org", "rsync://192.0.2.1/r": "backup-2", "rsync://[2001:db8::1]/r": "backup-2",
	} {
		job := load(t, "[job:ext]\ndirection = pull\ntype = full\ndest = hd\ninclude = rsync://ext/b\nreport_source = "+source+"\n").Job("ext")
		r, err := New(t.Context(), job, "", storage, nil)
		if err != nil || r.Host != want {
			t.Errorf("%s: got %+v, %v", source, r, err)
		}
	}
}
