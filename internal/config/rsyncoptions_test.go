package config

import (
	"slices"
	"strings"
	"testing"
)

func TestRsyncOptionsThatAreTaken(t *testing.T) {
	for text, want := range map[string][]string{
		"":                                    nil,
		"--checksum -W":                       {"--checksum", "-W"},
		`-e "ssh -i '/my key'"`:               {"-e", "ssh -i '/my key'"},
		`--rsh="ssh -p 2222" --no-whole-file`: {"--rsh=ssh -p 2222", "--no-whole-file"},
		"-M--fake-super --rsync-path='sudo rsync'": {"-M--fake-super", "--rsync-path=sudo rsync"},
		"-aHAXS\n--timeout=60":                     {"-aHAXS", "--timeout=60"},
		"--delete --max-delete=10":                 {"--delete", "--max-delete=10"},
		"-essh":                                    {"-essh"},
		"--skip-compress='$x/`y`'":                 {"--skip-compress=$x/`y`"},
	} {
		got, err := rsyncOptions(text)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, %v", text, got, err)
		}
	}
}

func TestEveryRefusedRsyncOptionHasOneReason(t *testing.T) {
	seen := map[string]string{}
	for reason, names := range refusedOptions {
		for _, name := range strings.Fields(names) {
			if seen[name] != "" {
				t.Errorf("--%s: %s; %s", name, seen[name], reason)
			}
			seen[name] = reason
			if _, err := rsyncOptions("--" + name + "=x"); err == nil || !strings.Contains(err.Error(), reason) {
				t.Errorf("--%s: %v", name, err)
			}
			if _, err := rsyncOptions("-M--" + name); err == nil {
				t.Errorf("-M--%s is taken", name)
			}
		}
	}
	for letter, name := range shortOptions {
		if _, err := rsyncOptions("-S" + string(letter)); err == nil || seen[name] == "" {
			t.Errorf("-%c: %v", letter, err)
		}
	}
}

func TestPathsToStoreAt(t *testing.T) {
	for path, want := range map[string]string{
		"/srv/backup": "", "rsync://host/module": "", "rsync://user@host:873/module/dir": "", "user@host:/dir": "", "host:dir": "", "user@[::1]:/dir": "",
		"b1000://host": "", "b1000://host:4200": "", "rsync://[::1]:873/m": "",
		"srv": "wants", "./x:y": "wants", "host:": "wants", ":/dir": "wants", "host::module": "names a module",
		"rsync://host": "names no module", "rsync:///m": "names no host", "b1000://": "names no host", "rsync://-x/m": "names no host",
		"rsync://host:/m": "", "rsync://a@b@host/m": "", "host:a@b": "", "/srv/a:b@c:d": "",
		"rsync://user:canary@host/m": "write password_file", "rsync://user:@host/m": "write password_file", "rsync://user:ca@nary@[::1]:873/m": "write password_file",
		"b1000://user:canary@host": "write password_file", "user:canary@host:/dir": "write password_file", "http://user:canary@host/": "write password_file",
		"rsync://user:can/ary@host/m": "names no port", "rsync://host:x/m": "names no port",
		"http://host/": "http:// is not known", "ssh://host/dir": "write host:/directory", "-e sh": "is not a place",
	} {
		if got := pathFault(path); (got == "") != (want == "") || !strings.Contains(got, want) || strings.Contains(got, "can") {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

// What rsync would do to a destination without a word is told before.
func TestRsyncOptionsThatDoNotFit(t *testing.T) {
	for _, tt := range []struct{ name, path, options, job, want string }{
		{"a sync that deletes", "/d", "--delete", "type = sync", ""},
		{"a sync that leaves out", "/d", "--checksum", "type = sync\nexclude_regex = x", ""},
		{"a sync that does both", "/d", "--checksum --delete-after", "type = sync\nexclude_regex = x", "[job:j] exclude_regex: with it --delete-after, in rsync_options of d, deletes nothing; use exclude"},
		{"faked on this host", "/d", "--fake-super", "type = full", "[dest:d] rsync_options: --fake-super would change what is read of the source as well; write -M--fake-super"},
		{"faked there only", "/d", "-M--fake-super", "type = full", ""},
		{"faked there only, at length", "/d", "--remote-option=--fake-super", "type = full", ""},
		{"faked elsewhere", "host:/d", "-M--fake-super", "type = full", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, problems := loadText(t, "[dest:d]\ntype = active\npath = "+tt.path+"\nrsync_options = "+tt.options+"\n[job:j]\ndirection = push\ndest = d\ninclude = /a\n"+tt.job+"\n")
			got := lines(problems, "")
			if !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") || (tt.want == "") != (len(c.Job("j").Problems) == 0) {
				t.Errorf("got %s", got)
			}
		})
	}
}
