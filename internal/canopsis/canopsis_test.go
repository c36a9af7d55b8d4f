package canopsis

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"b1000/internal/config"
)

// install writes files below a new directory.
func install(t *testing.T, files map[string]string) string {
	t.Helper()
	prefix := t.TempDir()
	for name, text := range files {
		path := filepath.Join(prefix, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return prefix
}

// load loads a configuration, which has to be without faults.
func load(t *testing.T, text string) *config.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "b1000.cfg")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, problems, err := config.Load(path)
	if err != nil || len(problems) > 0 {
		t.Fatalf("%v %v\n%s", err, problems, text)
	}
	return c
}

// node.conf as the manual has it, with a comment and an option without meaning.
const manualNode = `# this node
server=127.0.0.1
port=4200
status_port=4201

include=/opt/canopsis/etc
include=/opt/canopsis/opt/mongodb/load.d/json_object
include=/opt/canopsis/opt/mongodb/load.d/rights
include=/opt/canopsis/var/cache/a $b 'c'
exclude_regex=\.bson\.(pid|lock|state)$
read_all_fifos=1
`

func TestANodeAsTheManualHasIt(t *testing.T) {
	prefix := install(t, map[string]string{
		"etc/backup/node.conf":    manualNode,
		"etc/backup/storage.conf": "# collections\nobject\nevents_log, perfdata2\n",
	})
	n, problems := ReadNode(prefix)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if !slices.Equal(n.Ignored, []string{"node.conf: status_port"}) {
		t.Errorf("ignored: %q", n.Ignored)
	}
	c := load(t, n.Config(prefix+"/status", "/usr/bin/cpsbackup"))
	job := c.Job(Job)
	include, err := job.Expand("include", nil)
	want := `/opt/canopsis/etc /opt/canopsis/opt/mongodb/load.d/json_object /opt/canopsis/opt/mongodb/load.d/rights '/opt/canopsis/var/cache/a $b '\''c'\''' ` + prefix + "/var/cache/canopsis/mongodb"
	if include != want || err != nil {
		t.Errorf("include %s, %v; want %s", include, err, want)
	}
	if regex, _ := job.Expand("exclude_regex", nil); regex != `\.bson\.(pid|lock|state)$` {
		t.Errorf("exclude_regex %s", regex)
	}
	if d := c.Dest(Destination); d.Path != "b1000://127.0.0.1:4200" || d.TLSCert != prefix+"/etc/ssl/node.crt" || d.TLSCA != prefix+"/etc/ssl/ca.crt" {
		t.Errorf("destination: %+v", d)
	}
	if !job.ReadAllFIFOs || !job.Relative || len(job.Streams) != 0 {
		t.Errorf("job: %+v", job)
	}
	for key, want := range map[string]string{"pre": "ready", "before_commit": "whole"} {
		if got, _ := job.Expand(key, nil); got != "'/usr/bin/cpsbackup' --prefix '"+prefix+"' --dumps "+want {
			t.Errorf("%s: %s", key, got)
		}
	}
	s := c.Section("stream", Stream(1))
	got := []string{s.Text("type"), s.Text("host"), s.Text("port"), s.Text("db"), s.Text("tables"), s.Text("file")}
	if !slices.Equal(got, []string{"mongodb", "127.0.0.1", "27017", "canopsis", "events_log", prefix[1:] + "/var/cache/canopsis/mongodb/canopsis/events_log.archive"}) {
		t.Errorf("stream: %q", got)
	}
}

func TestAServerAsTheManualHasIt(t *testing.T) {
	prefix := install(t, map[string]string{
		"etc/backup/server.conf":     "address=0.0.0.0\nport=4200\nstatus_address=127.0.0.1\nstatus_port=4201\nkeep=5\n",
		"etc/backup/clients/cpsnode": "ssl_peer_cn=cpsnode\n",
	})
	text, ignored, problems := ReadServer(prefix)
	if len(problems) > 0 || len(ignored) > 0 {
		t.Fatal(problems, ignored)
	}
	s := load(t, text).Section("storage", "")
	got := []string{s.Text("address"), s.Text("port"), s.Text("status_address"), s.Text("status_port"), s.Text("clients_dir"), s.Text("path")}
	if !slices.Equal(got, []string{"0.0.0.0", "4200", "127.0.0.1", "4201", prefix + "/etc/backup/clients", prefix + "/var/backup"}) || s.Keep().Last != 5 {
		t.Errorf("got %q, keep %d", got, s.Keep().Last)
	}
	client, problems2, err := config.LoadClient(s.Text("clients_dir") + "/cpsnode")
	if err != nil || len(problems2) > 0 || client.Text("ssl_peer_cn") != "cpsnode" {
		t.Errorf("client: %v %v", problems2, err)
	}
}

// Every fault is found in one pass, with file and line.
func TestFaults(t *testing.T) {
	prefix := install(t, map[string]string{
		"etc/backup/node.conf":    "server=a b\nport=99999\ninclude=etc\nexclude_regex=(\n",
		"etc/backup/storage.conf": "object object\n$where\npassword=secret\nport=x\n",
		"etc/backup/server.conf":  "port=0\nkeep=5 ; rm\n",
	})
	_, problems := ReadNode(prefix)
	_, _, more := ReadServer(prefix)
	var got []string
	for _, p := range append(problems, more...) {
		text := strings.TrimPrefix(p.Error(), prefix+"/etc/backup/")
		if strings.Contains(text, "secret") {
			t.Errorf("tells a secret: %s", text)
		}
		got = append(got, text)
	}
	want := []string{
		`node.conf:1: server: "a b" is not a host`,
		`node.conf:2: port: "99999" is not a port`,
		`node.conf:3: include: etc is not an absolute path`,
		`node.conf: include: is missing`,
		"node.conf:4: exclude_regex: error parsing regexp: missing closing ): `(`",
		`storage.conf:3: password: write it into a file of its own, mode 0600, and name that as password_file`,
		`storage.conf:4: port: "x" is not a port`,
		`storage.conf:1: collection object is named twice`,
		`storage.conf:2: "$where" is not the name of a collection`,
		`server.conf:2: keep: has a character that cannot be written into a configuration`,
		`server.conf:1: port: "0" is not a port`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if _, problems := ReadNode(t.TempDir()); len(problems) != 1 || !strings.Contains(problems[0].Error(), "node.conf: cannot be read") {
		t.Errorf("got %v", problems)
	}
}

// A node without storage.conf has no database.
func TestANodeWithoutADatabase(t *testing.T) {
	prefix := install(t, map[string]string{"etc/backup/node.conf": "server=backup\ninclude=/etc\n"})
	n, problems := ReadNode(prefix)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if c := load(t, n.Config(prefix, "cpsbackup")); len(c.Job(Job).Streams) != 0 || c.Job(Job).ReadAllFIFOs {
		t.Errorf("job: %+v", c.Job(Job))
	}
}
