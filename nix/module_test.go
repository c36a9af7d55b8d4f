package nix_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"b1000/internal/config"
	"b1000/internal/testhost"
)

var update = flag.Bool("update", false, "rewrite what testdata wants")

// binaries names the variable with the directory of the programs.
const binaries = "B1000_TEST_PROGRAMS"

func TestMain(m *testing.M) { os.Exit(withPrograms(m)) }

func withPrograms(m *testing.M) int {
	flag.Parse()
	if os.Getenv("NIXPKGS_LIB") == "" {
		return m.Run() // and nothing asks for a program
	}
	dir, err := os.MkdirTemp("", "b1000-programs")
	if err == nil {
		defer os.RemoveAll(dir)
		err = testhost.Build(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	os.Setenv(binaries, dir)
	return m.Run()
}

// system is what a configuration of NixOS consists of, as far as the module goes.
type system struct {
	Warnings []string
	Units    map[string]struct {
		Enable                 bool
		OverrideStrategy, Text string
		WantedBy               []string
	}
	Etc           map[string]string // files below /etc with a text of their own
	Files         map[string]struct{ Mode, Source string }
	Packages      []string
	Ports         []int
	Rules         []string // of systemd-tmpfiles
	Tmpfiles      map[string]map[string]map[string]struct{ User, Group, Mode string }
	ExporterFlags []string
}

// module is the module with a configuration, in Nix' language.
func module(configs ...string) string {
	return `(import $nix/tests/harness { libPath = $lib; modules = [ ` + strings.Join(configs, " ") + ` ]; })`
}

// systemOf is the system of a configuration; nothing of it is refused.
func systemOf(t *testing.T, configs ...string) system {
	t.Helper()
	var got struct {
		Failed []string
		Result system
	}
	mustEvaluate(t, `let m = `+module(configs...)+`; in { inherit (m) failed result; }`, &got)
	if len(got.Failed) > 0 {
		t.Fatalf("refused: %q", got.Failed)
	}
	return got.Result
}

const cfgFile = "b1000/b1000.cfg"

// checked writes a configuration and returns what b1000ctl says to it.
func checked(t *testing.T, text string) (string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "b1000.cfg")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(os.Getenv(binaries), "b1000ctl"), "check", "--syntax", "-f", path).CombinedOutput()
	return string(out), err
}

// Each sample of testdata/valid is a configuration of NixOS with the text that it
// becomes, which b1000ctl accepts.
func TestNixosEachSampleBecomesAConfigurationThatIsAccepted(t *testing.T) {
	libPath(t)
	samples := []string{"example.nix"}
	more, err := filepath.Glob("testdata/valid/*.nix")
	if err != nil || len(more) == 0 {
		t.Fatal(more, err)
	}
	for _, sample := range append(samples, more...) {
		t.Run(filepath.Base(sample), func(t *testing.T) {
			t.Parallel()
			got := systemOf(t, "$nix/"+sample)
			text := ""
			for _, name := range slices.Sorted(maps.Keys(got.Etc)) {
				text += "# /etc/" + name + "\n" + got.Etc[name] + "\n"
			}
			golden := filepath.Join("testdata/valid", strings.TrimSuffix(filepath.Base(sample), ".nix")+".want")
			if *update {
				if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if text != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", text, want)
			}
			if out, err := checked(t, got.Etc[cfgFile]); err != nil {
				t.Errorf("b1000ctl check: %v\n%s", err, out)
			}
			for name, text := range got.Etc {
				if client, found := strings.CutPrefix(name, "b1000/clients/"); found && client[0] != '.' {
					checkClient(t, client, text)
				}
			}
		})
	}
}

// checkClient fails the test if the storage server would not admit a client.
func checkClient(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, problems, err := config.LoadClient(path); err != nil || len(problems) > 0 {
		t.Errorf("client %s: %v %v", name, err, problems)
	}
}

// What a list says reaches the program as it is, whatever is in it.
func TestNixosWordsOfAListStayWhole(t *testing.T) {
	got := systemOf(t, `{ services.b1000 = { enable = true; destinations.d.path = "/srv"; jobs.a = {
		dest = [ "d" ]; include = [ "/srv/plain" "/srv/my files" "/srv/it's" "/srv/a\"b" "/srv/back\\slash" "/srv/*.log" "/srv/\\*" ];
		exclude_regex = [ "\\.tmp$" "[\"']" ]; rsync_options = [ "-e" "ssh -p 22" ]; }; }; }`)
	path := filepath.Join(t.TempDir(), "b1000.cfg")
	if err := os.WriteFile(path, []byte(got.Etc[cfgFile]), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	s := cfg.Section("job", "a")
	if got, want := s.Words("include"), []string{"/srv/plain", "/srv/my files", "/srv/it's", `/srv/a"b`, `/srv/back\slash`, "/srv/*.log", `/srv/\*`}; !slices.Equal(got, want) {
		t.Errorf("include: %q, want %q", got, want)
	}
	if got, want := s.Words("exclude_regex"), []string{`\.tmp$`, `["']`}; !slices.Equal(got, want) {
		t.Errorf("exclude_regex: %q, want %q", got, want)
	}
}

// optionDoc is an option of the module as its manual shows it.
type optionDoc struct {
	Name, Description string
	HasExample        bool
}

func TestNixosEveryOptionHasADescriptionAndAnExample(t *testing.T) {
	var options []optionDoc
	mustEvaluate(t, module()+".documented", &options)
	if len(options) < 90 {
		t.Fatalf("%d options", len(options))
	}
	for _, o := range options {
		if o.Description == "" || !o.HasExample {
			t.Errorf("%s: description %q, example: %v", o.Name, o.Description, o.HasExample)
		}
	}
}

// Options of jobs and the like are those of the program, by the same names.
func TestNixosOptionsOfSectionsAreKnownToTheProgram(t *testing.T) {
	var options []optionDoc
	mustEvaluate(t, module()+".documented", &options)
	sections := map[string]string{
		"jobs.<name>.": "job", "destinations.<name>.": "dest", "reports.<name>.": "report", "streams.<name>.": "stream",
		"storage.clients.<name>.": "client", "settings.global.": "global", "passive.": "job", "storage.": "storage",
	}
	ours := []string{"storage.enable", "storage.openFirewall", "storage.clients", "passive.openFirewall"}
	seen := map[string]bool{}
	for _, o := range options {
		name := strings.TrimPrefix(o.Name, "services.b1000.")
		for prefix, kind := range sections {
			key, found := strings.CutPrefix(name, prefix)
			if !found || strings.Contains(key, ".") || slices.Contains(ours, name) {
				continue
			}
			seen[prefix] = true
			if _, known := config.Lookup(kind, key); !known {
				t.Errorf("%s: a %s section has no such option", o.Name, kind)
			}
		}
	}
	if len(seen) != len(sections) {
		t.Errorf("options were found in %v only", seen)
	}
}

func TestNixosTheTextfileDirectoryIsReadByTheExporter(t *testing.T) {
	with := systemOf(t, "$nix/example.nix")
	if got := with.ExporterFlags; !slices.Equal(got, []string{"--collector.textfile.directory=/var/lib/b1000-metrics"}) {
		t.Errorf("flags %q", got)
	}
	if got := with.Tmpfiles["b1000-textfile"]["/var/lib/b1000-metrics"]["d"]; got.Mode != "0755" || got.User != "root" {
		t.Errorf("directory %+v", got)
	}
	without := systemOf(t, "$nix/example.nix", "{ services.prometheus.exporters.node.enable = (import $lib).mkForce false; }")
	if len(without.ExporterFlags) > 0 {
		t.Errorf("flags of an exporter that is not there: %q", without.ExporterFlags)
	}
}

func TestNixosPortsAreOpenedOnlyWhereThatIsAsked(t *testing.T) {
	hosts := func(open string) []int {
		return systemOf(t, `{ services.b1000 = { enable = true; passive.openFirewall = `+open+`; destinations.v = { type = "passive"; host = "vault"; };
			jobs.a = { direction = "passive"; dest = [ "v" ]; listen = "[2001:db8::1]:8731"; }; jobs.b = { direction = "passive"; dest = [ "v" ]; listen = 8730; };
			storage = { enable = true; openFirewall = `+open+`; tls_cert = "/c"; tls_key = "/k"; tls_ca = "/a"; clients.x.ssl_peer_cn = "x"; }; }; }`).Ports
	}
	if got := hosts("false"); len(got) > 0 {
		t.Errorf("open: %v", got)
	}
	got := hosts("true")
	slices.Sort(got)
	if !slices.Equal(got, []int{4200, 8730, 8731}) {
		t.Errorf("open: %v", got)
	}
}
