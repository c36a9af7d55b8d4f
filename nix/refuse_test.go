package nix_test

import (
	"fmt"
	"strings"
	"testing"
)

// good is a configuration in which each case changes something.
const good = `{ enable = true; destinations.d.path = "/srv"; jobs.a = { dest = [ "d" ]; include = [ "/etc" ]; }; }`

// Each is refused by one assertion, which names the option.
var refused = []struct{ name, change, want string }{
	{"a destination that is not there", `jobs.a.dest = (import $lib).mkForce [ "d/e&" ];`, `services.b1000.jobs.a.dest names "e", which is not in services.b1000.destinations`},
	{"no destination", `jobs.b.include = [ "/etc" ];`, `services.b1000.jobs.b.dest is empty; name at least one of services.b1000.destinations`},
	{"a report that is not there", `jobs.a.report = [ "r" ];`, `services.b1000.jobs.a.report names "r", which is not in services.b1000.reports`},
	{"a stream that is not there", `jobs.a.streams = [ "s" ];`, `services.b1000.jobs.a.streams names "s", which is not in services.b1000.streams`},
	{"nothing to store", `jobs.b.dest = [ "d" ];`, `services.b1000.jobs.b.include is empty; a push job needs it, or streams`},
	{"a pull job without its client", `jobs.b = { direction = "pull"; dest = [ "d" ]; include = [ "rsync://c/share" ]; };`, `services.b1000.jobs.b.report_source is not set; a pull job needs it`},
	{"a pull job's option elsewhere", `jobs.a.hosts = [ "x" ];`, `services.b1000.jobs.a.hosts is for pull jobs only`},
	{"a share that nobody serves", `jobs.b = { direction = "passive"; dest = [ "d" ]; share = "/srv"; };`, `services.b1000.jobs.b.share needs listen, without which nothing is served`},
	{"a name that cannot be one", `jobs."a b" = { dest = [ "d" ]; include = [ "/etc" ]; };`, `services.b1000.jobs."a b": the name must look like [A-Za-z0-9][-_.A-Za-z0-9]*`},
	{"a destination without a place", `destinations.e = { };`, `services.b1000.destinations.e.path is not set; a destination of type active needs it`},
	{"a destination without its repository", `destinations.e = { type = "restic"; password_file = "/p"; };`, `services.b1000.destinations.e.repository is not set; a destination of type restic needs it`},
	{"a storage server without a certificate", `destinations.e = { path = "b1000://s"; tls_cert = "/c"; tls_ca = "/a"; };`, `services.b1000.destinations.e.tls_key is not set; a storage server asks for it`},
	{"the storage server without a key", `storage = { enable = true; tls_cert = "/c"; tls_ca = "/a"; clients.x.ssl_peer_cn = "x"; };`, `services.b1000.storage.tls_key is not set; the storage server needs it`},
	{"a password", `destinations.d.password = "secret";`, `services.b1000.settings."dest:d".password would be in the Nix store, where everybody may read it; write password_file, or a file in /etc/b1000/conf.d`},
	{"a password in an address", `settings."notify:x" = { type = "webhook"; url = "https://me:secret@example.org/x"; };`, `services.b1000.settings."notify:x".url holds a password, which would be in the Nix store, where everybody may read it; write a file in /etc/b1000/conf.d`},
	{"a password file of the store", `settings."report:x" = { type = "mysql"; server = "s"; db = "d"; user = "u"; password_file = "${builtins.storeDir}/p"; };`, `services.b1000.settings."report:x".password_file is a file of the Nix store, where everybody may read it; name one that is brought to this host by other means`},
	{"what would be a comment", `jobs.a.pre = "true\nsync ; false";`, `services.b1000.settings."job:a".pre: a semicolon with white space before it begins a comment of b1000.cfg(5); leave the white space out, or call a script`},
	{"an option that would begin a section", `settings.global."x]\n[job" = 1;`, `services.b1000.settings.global."x]\n[job": not the name of an option`},
}

func TestNixosWhatIsRefusedNamesTheOption(t *testing.T) {
	var all strings.Builder
	for i, c := range refused {
		fmt.Fprintf(&all, "case%d = %s.failed;\n", i, module("{ services.b1000 = "+good+"; }", "{ services.b1000 = { "+c.change+" }; }"))
	}
	got := map[string][]string{}
	mustEvaluate(t, "{ none = "+module("{ services.b1000 = "+good+"; }")+".failed; "+all.String()+" }", &got)
	if len(got["none"]) > 0 {
		t.Errorf("refused without a reason: %q", got["none"])
	}
	for i, c := range refused {
		if g := got[fmt.Sprintf("case%d", i)]; len(g) != 1 || g[0] != c.want {
			t.Errorf("%s:\ngot  %q\nwant [%q]", c.name, g, c.want)
		}
	}
}

// Each has the wrong type, or is not there; the message is that of Nix.
var mistyped = []struct{ name, change, option, want string }{
	{"a direction", `jobs.a.direction = "sideways";`, "jobs.a.direction", `one of "push", "passive", "pull"`},
	{"a number", `jobs.a.keep = 0;`, "jobs.a.keep", "positive integer"},
	{"a level", `settings.global.log_level = "LOUD";`, "settings.global.log_level", `"DEBUG"`},
	{"a set for a value", `jobs.a.foo = { bar = 1; };`, "jobs.a.foo", ""},
	{"a file of this folder", `destinations.d.password_file = $nix/module.md;`, "destinations.d.password_file", "not in the Nix store"},
	{"a file of the store", `storage = { enable = true; tls_key = "${builtins.storeDir}/00000000000000000000000000000000-x"; };`, "storage.tls_key", "not in the Nix store"},
	{"an option of ours", `stroage.enable = true;`, "services.b1000.stroage", "does not exist"},
	{"a client without a name", `storage = { enable = true; tls_cert = "/c"; tls_key = "/k"; tls_ca = "/a"; clients.x.quota = "1G"; };`, "storage.clients.x.ssl_peer_cn", "no value"},
	{"a right that is none", `storage = { enable = true; clients.x = { ssl_peer_cn = "x"; allow = [ "everything" ]; }; };`, "storage.clients.x.allow", `"restore"`},
}

func TestNixosAValueOfTheWrongTypeIsRefused(t *testing.T) {
	for _, c := range mistyped {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var value any
			err := evaluate(t, module("{ services.b1000 = "+good+"; }", "{ services.b1000 = { "+c.change+" }; }")+".result", &value)
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), c.option) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got: %v\nwant %s and %s", err, c.option, c.want)
			}
		})
	}
}

// Where the configuration refers to what is not known here, nothing is checked.
func TestNixosAConfigurationWithConfDIsNotChecked(t *testing.T) {
	got := systemOf(t, `{ services.b1000 = { enable = true; checkConfig = false; jobs.a = { dest = [ "secret" ]; include = [ "/etc" ]; }; }; }`)
	if !strings.Contains(got.Etc[cfgFile], "dest = secret\n") {
		t.Errorf("got:\n%s", got.Etc[cfgFile])
	}
}
