package config

import (
	"fmt"
	"strings"
	"testing"
)

// A password in an option that is printed is refused, and told by nothing that
// was loaded.
func TestPasswordsWhereTheyWouldBeSeen(t *testing.T) {
	const job = "[job:j]\ndirection = push\ntype = full\ndest = d\ninclude = /a\n"
	const disk = "[dest:d]\ntype = active\npath = /d\n"
	const pull = "[job:p]\ndirection = pull\ntype = full\ndest = d\n"
	const stream = "[stream:s]\ntype = mongodb\npassword = canary\n"
	for _, tt := range []struct{ name, text, want string }{
		{"in a path", "[dest:d]\ntype = active\npath = rsync://u:canary@h/m\n" + job, "[dest:d] path: holds a password, which everybody would see; write password_file"},
		{"in the path of no type", "[dest:d]\npath = rsync://u:canary@h/m\n" + job, "[dest:d] path: holds a password"},
		{"in two equal paths", "[dest:d]\ntype = active\npath = u:canary@h:/d\n[dest:e]\ntype = active\npath = u:canary@h:/d\n" + strings.Replace(job, "= d", "= d e", 1), "[dest:e] path: holds a password"},
		{"path refers to it", "[dest:d]\ntype = active\npassword = canary\npath = rsync://$password@h/m\n" + job, "[dest:d] path: $password: a password must not be referred to"},
		{"by a scheme", "[dest:d]\ntype = active\npassword = canary\npath = $PASSWORD://x\n" + job, "[dest:d] path: $PASSWORD: a password must not"},
		{"by way of another", "[dest:d]\ntype = active\npassword = canary\nrsync_options = -e $bwlimit\nbwlimit = $password\npath = /x\n" + job, "[dest:d] rsync_options: $password: a password must not"},
		{"a stream's", stream + "options = --password=$password\n", "[stream:s] options: $password: a password must not"},
		{"a connection string's", strings.Replace(stream, "password", "uri", 1) + "host = $uri\n", "[stream:s] host: $uri: a password must not"},
		{"in another password", stream + "uri = mongodb://u:$password@h\n", ""},
		{"the file's name", strings.Replace(stream, "password", "password_file", 1) + "options = $password_file\n", "[stream:s] password_file: wants an absolute path"},
		{"fetched", disk + pull + "include = rsync://u:canary@h/m/x\nreport_source = u:canary@h:/r\n", "[job:p] include: holds a password"},
		{"of any client", disk + pull + "hosts = a b\ninclude = rsync://u:canary@$client/m/x\nreport_source = rsync://u:canary@$client/r\n", "[job:p] report_source: holds a password"},
		{"with TLS", disk + pull + "include = u:canary@h:/x\nreport_source = u:canary@h:/r\ntls_cert = /c\ntls_key = /k\ntls_ca = /a\n", "[job:p] report_source: holds a password"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, problems := loadText(t, tt.text)
			got := lines(problems, "")
			if !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") || strings.Contains(got, "canary") {
				t.Errorf("got %s", got)
			}
			for _, d := range c.Dests() {
				d.Password = ""
				if text := fmt.Sprintf("%+v", *d); strings.Contains(text, "canary") {
					t.Errorf("loaded %s", text)
				}
			}
		})
	}
}
