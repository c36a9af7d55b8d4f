package nix_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"b1000/internal/testhost"
)

// network is nix/tests/vm.nix.
type network struct {
	Name   string
	Script string
	Hosts  map[string]struct {
		Failed []string
		Result system
		Others map[string]struct { // after a switch
			Failed []string
			Result system
		}
	}
	Certificates struct{ Place, Script string }
}

func networkOf(t *testing.T) network {
	t.Helper()
	var n network
	mustEvaluate(t, `import $nix/tests/harness/network.nix { libPath = $lib; }`, &n)
	return n
}

// What runs as virtual machines elsewhere is evaluated here: nothing is refused,
// and the program accepts each configuration.
func TestNixosEachHostOfTheNetworkIsAccepted(t *testing.T) {
	accepted := func(name string, failed []string, s system) {
		t.Helper()
		if len(failed)+len(s.Warnings) > 0 {
			t.Errorf("%s: refused %q, warned of %q", name, failed, s.Warnings)
		}
		if out, err := checked(t, s.Etc[cfgFile]); err != nil {
			t.Errorf("%s: b1000ctl check: %v\n%s", name, err, out)
		}
		for file, text := range s.Etc {
			if client, found := strings.CutPrefix(file, "b1000/clients/"); found && client[0] != '.' {
				checkClient(t, client, text)
			}
		}
	}
	n := networkOf(t)
	var others int
	for name, h := range n.Hosts {
		accepted(name, h.Failed, h.Result)
		for other, s := range h.Others {
			others++
			accepted(name+" as "+other, s.Failed, s.Result)
		}
	}
	if len(n.Hosts) != 4 || others != 1 {
		t.Errorf("%d hosts, %d of them switched to another configuration", len(n.Hosts), others)
	}
}

// certificates runs the script of certs.nix into a directory.
func certificates(t *testing.T, script string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	cmd := exec.CommandContext(t.Context(), "bash", "-euc", script)
	cmd.Env = append(os.Environ(), "out="+out)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("certs.nix: %v\n%s", err, text)
	}
	return out
}

// leftOut are the parts of the script that take a virtual machine: hosts here have
// this machine's clock, and what the module does not set is not there.
var leftOut = []string{"a timer that is due, and what is kept, over days", "metrics"}

// The script of the network, run by hosts that have the units, the files and the
// programs that NixOS would give to its virtual machines.
func TestNixosTheScriptOfTheNetworkRuns(t *testing.T) {
	n := networkOf(t)
	net := testhost.NewNetwork(t)
	certs := certificates(t, n.Certificates.Script)
	names := []string{"client", "pull", "storage", "stranger"}
	d := driver{t: t, hosts: map[string]*testhost.Host{}, systems: map[string]system{}}
	out := packaged(t)
	known := "127.0.0.1 localhost\n"
	for i, name := range names {
		known += address(i) + " " + name + "\n"
	}
	for i, name := range names {
		h := newHostIn(t, out, testhost.Options{Name: name, Network: net, Address: address(i) + "/24"})
		h.Remove("/srv/data")
		h.Remove("/srv/backup")
		h.Write("/etc/hosts", known, 0o644)
		for _, file := range []string{"ca.crt", name + ".crt", name + ".key"} {
			h.Copy(filepath.Join(certs, file), n.Certificates.Place+"/"+file)
		}
		install(t, h, n.Hosts[name].Result, "1")
		h.Boot()
		d.hosts[name] = h
		d.systems[name+" /run/booted-system"] = n.Hosts[name].Result
		for other, s := range n.Hosts[name].Others {
			d.systems[name+" /run/current-system/specialisation/"+other] = s.Result
		}
	}
	d.run(n.Script)
	for name, h := range d.hosts {
		stdout, stderr, err := h.Run(t.Context(), "sh", "-c", `systemd-analyze verify --man=no /etc/systemd/system/b1000*.service /etc/systemd/system/b1000*.socket /etc/systemd/system/b1000.slice`)
		if err != nil || stdout+stderr != "" {
			t.Errorf("%s: verify: %v\n%s%s", name, err, stdout, stderr)
		}
	}
	slices.Sort(d.subtests)
	if len(d.subtests) < 6 {
		t.Errorf("only these were run: %q", d.subtests)
	}
}

func address(i int) string { return "10.77.0." + string(rune('1'+i)) }
