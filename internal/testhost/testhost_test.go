package testhost_test

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"b1000/internal/testhost"
)

func TestAHostBootsKeepsItsFilesAndGoesAway(t *testing.T) {
	var root string
	t.Run("host", func(t *testing.T) {
		h := testhost.New(t, testhost.Options{Name: "alpha"})
		root = h.Root
		h.Write("/etc/systemd/system/mark.service", "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo marked >>/var/marks'\n[Install]\nWantedBy=multi-user.target\n", 0o644)
		h.MustBeOff()
		h.Boot()
		if got := strings.TrimSpace(h.MustRun("hostname")); got != "alpha" {
			t.Errorf("host name %q", got)
		}
		h.MustRun("systemctl", "start", "mark.service")
		if _, _, err := h.Run(t.Context(), "sh", "-c", "exit 7"); !exitedWith(err, 7) {
			t.Errorf("exit status: %v", err)
		}
		h.PowerOff()
		if log := h.Journal("-u", "mark.service"); !strings.Contains(log, "Finished") {
			t.Errorf("the journal of a host that is off: %q", log)
		}
		h.Boot()
		h.MustRun("systemctl", "start", "mark.service")
		h.Kill()
		h.Boot()
		if got := h.MustRun("cat", "/var/marks"); got != "marked\nmarked\n" {
			t.Errorf("after two boots: %q", got)
		}
		if _, err := os.Stat("/var/marks"); !errors.Is(err, os.ErrNotExist) {
			t.Error("the host has written to this machine's root")
		}
	})
	if _, err := os.Stat(root); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", root, err)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || strings.Contains(string(mounts), root) {
		t.Errorf("%s is still mounted: %v", root, err)
	}
}

func exitedWith(err error, code int) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.ExitCode() == code
}

func TestTwoHostsOnANetworkReachEachOther(t *testing.T) {
	n := testhost.NewNetwork(t)
	server := testhost.Start(t, testhost.Options{Name: "server", Network: n, Address: "10.77.0.1/24"})
	client := testhost.Start(t, testhost.Options{Name: "client", Network: n, Address: "10.77.0.2/24"})
	server.Write("/srv/module/greeting", "hello\n", 0o644)
	server.Write("/etc/test-rsyncd.conf", "use chroot = no\n[module]\npath = /srv/module\n", 0o644)
	server.MustRun("systemd-run", "--unit=daemon", "rsync", "--daemon", "--no-detach", "--config=/etc/test-rsyncd.conf")
	client.Wait("the daemon answers", func() bool {
		_, _, err := client.Run(t.Context(), "rsync", "rsync://10.77.0.1/module/greeting", "/root/")
		return err == nil
	})
	if got := client.MustRun("cat", "/root/greeting"); got != "hello\n" {
		t.Errorf("got %q", got)
	}
	if server.MustRun("systemctl", "is-active", "daemon"); strings.Contains(client.MustRun("systemctl", "list-units", "--all"), "daemon.service") {
		t.Error("the hosts share their units")
	}
}

func TestLimitsOfUnitsAreEnforced(t *testing.T) {
	h := testhost.Start(t, testhost.Options{Limits: true})
	_, _, err := h.Run(t.Context(), "systemd-run", "--wait", "--pipe", "-p", "TasksMax=3", "sh", "-c", "for i in 1 2 3 4 5 6; do sleep 1 & done; wait")
	if err == nil {
		t.Error("six processes under TasksMax=3")
	}
}

// What a test process that was killed has left is removed by the next one.
func TestWhatAKilledTestLeavesIsRemoved(t *testing.T) {
	if os.Getenv("LEAVE_A_HOST") != "" {
		h := testhost.Start(t, testhost.Options{})
		os.Stdout.WriteString("\nROOT " + h.Root + "\n")
		os.Exit(3)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestWhatAKilledTestLeavesIsRemoved$")
	cmd.Env = append(os.Environ(), "LEAVE_A_HOST=1")
	out, _ := cmd.Output()
	_, root, found := strings.Cut(string(out), "\nROOT ")
	if root, _, _ = strings.Cut(root, "\n"); !found {
		testhost.New(t, testhost.Options{}) // skips or fails as it should
		t.Fatalf("no host was left:\n%s", out)
	}
	if _, err := os.Stat(root + "/etc"); err != nil {
		t.Fatal(err)
	}
	testhost.New(t, testhost.Options{})
	if _, err := os.Stat(root); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", root, err)
	}
}
