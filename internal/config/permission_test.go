package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const job = "[dest:d]\ntype = active\npath = /srv\n[job:a]\ndirection = push\ntype = full\ndest = d\ninclude = /etc\n"
const database = "[report:m]\ntype = mysql\nserver = db\ndb = b\nuser = u\n"

func TestWhoMayWriteAndReadAFile(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		mode       os.FileMode
		owner      int
		want       string // part of the fatal problem; empty for none
	}{
		{"others may read", job, 0o644, 0, ""},
		{"group may write", job, 0o660, 0, "mode 0660 lets others write"},
		{"all may write", job, 0o602, 0, "mode 0602 lets others write"},
		{"password for the owner", job + database + "password = x\n", 0o600, 0, ""},
		{"password for the group", job + database + "password = x\n", 0o640, 0, "mode 0640 lets others read"},
		{"password for all", job + database + "password = x\n", 0o604, 0, "mode 0604 lets others read"},
		{"no password", job + database, 0o644, 0, ""},
		{"password_file", job + database + "password_file = /none\n", 0o644, 0, ""},
		{"somebody else's file", job, 0o644, 12345, "belongs to user 12345"},
	} {
		for _, place := range []string{"b1000.cfg", "conf.d/x.cfg"} {
			t.Run(tt.name+" in "+place, func(t *testing.T) {
				dir := t.TempDir()
				main := write(t, filepath.Join(dir, "b1000.cfg"), "")
				file := write(t, filepath.Join(dir, place), tt.text)
				if err := os.Chmod(file, tt.mode); err != nil {
					t.Fatal(err)
				}
				if tt.owner != 0 {
					if os.Geteuid() != 0 {
						t.Skip("needs root to give a file away")
					}
					if err := os.Chown(file, tt.owner, -1); err != nil {
						t.Fatal(err)
					}
				}
				c, _ := load(t, main)
				fatal := c.Fatal()
				switch {
				case tt.want == "" && len(fatal) > 0:
					t.Errorf("refused: %v", fatal)
				case tt.want != "" && (len(fatal) != 1 || !strings.Contains(fatal[0].Message, tt.want) || fatal[0].File != file):
					t.Errorf("got %v", fatal)
				}
			})
		}
	}
}

func TestWhoMayReadAPasswordFile(t *testing.T) {
	for _, tt := range []struct {
		mode os.FileMode
		ok   bool
	}{{0o400, true}, {0o640, true}, {0o644, false}, {0o660, false}, {0o602, false}} {
		file := write(t, filepath.Join(t.TempDir(), "secret"), "x")
		if err := os.Chmod(file, tt.mode); err != nil {
			t.Fatal(err)
		}
		_, problems := loadText(t, database+"password_file = "+file+"\n")
		if (len(problems) == 0) != tt.ok {
			t.Errorf("mode %04o: %v", tt.mode, problems)
		}
	}
}

func TestConfD(t *testing.T) {
	dir := t.TempDir()
	main := write(t, filepath.Join(dir, "b1000.cfg"), job)
	write(t, filepath.Join(dir, "conf.d/20.cfg"), "[job:b]\ndirection = push\ntype = full\ndest = late\ninclude = /etc\n")
	write(t, filepath.Join(dir, "conf.d/30.cfg"), "[dest:late]\ntype = active\npath = /srv/late\n")
	write(t, filepath.Join(dir, "conf.d/.40.cfg"), "broken")
	write(t, filepath.Join(dir, "conf.d/40.cfg~"), "broken")
	write(t, filepath.Join(dir, "conf.d/README"), "broken")
	c, problems := load(t, main)
	if len(problems) > 0 || len(c.Jobs()) != 2 || len(c.Files) != 3 || c.Job("b").Dests[0].Dests[0].Path != "/srv/late" {
		t.Fatalf("files %q, problems %v", c.Files, problems)
	}

	write(t, filepath.Join(dir, "conf.d/10.cfg"), "\n[job:a]\ndirection = pull\n")
	_, problems = load(t, main)
	want := "b1000.cfg:4: [job:a] given again in conf.d/10.cfg:2; join the two or rename one\n" +
		"conf.d/10.cfg:2: [job:a] already given in b1000.cfg:4\n"
	if got := lines(problems, dir); got != want {
		t.Errorf("a section in two files: got\n%swant\n%s", got, want)
	}
}

func TestConfDOfAnotherName(t *testing.T) {
	dir := t.TempDir()
	main := write(t, filepath.Join(dir, "b1000.cfg"), "[global]\nconf_d = "+dir+"/more\n")
	write(t, filepath.Join(dir, "conf.d/x.cfg"), "broken")
	if c, problems := load(t, main); len(c.Fatal()) != 1 || problems[0].Line != 2 {
		t.Errorf("a conf_d that is not there: %v", problems)
	}
	write(t, filepath.Join(dir, "more/x.cfg"), job)
	if c, problems := load(t, main); len(problems) > 0 || c.Job("a") == nil {
		t.Errorf("conf_d: %v", problems)
	}
}

func TestAConfDFileThatCannotBeReadIsFatal(t *testing.T) {
	dir := t.TempDir()
	main := write(t, filepath.Join(dir, "b1000.cfg"), job)
	if err := os.MkdirAll(filepath.Join(dir, "conf.d/x.cfg"), 0o755); err != nil {
		t.Fatal(err)
	}
	c, _ := load(t, main)
	if fatal := c.Fatal(); len(fatal) != 1 || !strings.Contains(fatal[0].Message, "not a regular file") {
		t.Errorf("got %v", fatal)
	}
}

func TestLoadClient(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"web1", "ssl_peer_cn=web1\nquota = 2G\nkeep = 3\nallow = backup list\n", ""},
		{"web1", "quota = 2G\n", "ssl_peer_cn: missing"},
		{"web1", "# who\nssl_peer_cn = a\nalow = list\n", "web1:3: [client:web1] alow: unknown option; did you mean allow?"},
		{"web1", "ssl_peer_cn = a\n[x]\n", "web1:2: [x] a client's file has no sections"},
		{"web 1", "ssl_peer_cn = a\n", "is named as"},
	} {
		path := write(t, filepath.Join(t.TempDir(), tt.name), tt.text)
		s, problems, err := LoadClient(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := lines(problems, filepath.Dir(path)); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%q: got %q, want %q", tt.text, got, tt.want)
		}
		if tt.want == "" && (s.Size("quota") != 2<<30 || s.Keep().Last != 3 || len(s.Words("allow")) != 2) {
			t.Errorf("%q: quota %d, keep %v, allow %q", tt.text, s.Size("quota"), s.Keep(), s.Words("allow"))
		}
	}
}
