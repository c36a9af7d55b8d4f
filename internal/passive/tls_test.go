package passive

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"b1000/internal/mtls"
	"b1000/internal/mtls/mtlstest"
)

// asConnect makes the test program the other end of mtls.ConnectCommand.
const asConnect = "B1000_TEST_CONNECT"

func TestMain(m *testing.M) {
	if os.Getenv(asConnect) == "" {
		os.Exit(m.Run())
	}
	args := os.Args[2:] // after "connect"
	id, err := mtls.Open(mtls.Files{Cert: args[0], Key: args[1], CA: args[2]}, nil)
	if err == nil {
		err = Connect(context.Background(), id, args[3], args[4], os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// secure serves as start does, by TLS as "localhost".
func secure(t *testing.T, ca *mtlstest.CA, edit func(*Settings)) *client {
	t.Helper()
	return start(t, func(s *Settings) {
		id, err := mtls.Open(files(t, ca, ca.File, "localhost", nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		s.TLS, s.Lookup = id, nil // addresses do not matter
		if edit != nil {
			edit(s)
		}
	})
}

func files(t *testing.T, ca *mtlstest.CA, trusted, name string, edit func(*x509.Certificate)) mtls.Files {
	t.Helper()
	cert, key := ca.Issue(t, name, edit)
	return mtls.Files{Cert: cert, Key: key, CA: trusted}
}

// connectBy makes rsync connect by TLS.
func (c *client) connectBy(f mtls.Files) {
	c.t.Helper()
	self, err := os.Executable()
	if err != nil {
		c.t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(c.address)
	if err != nil {
		c.t.Fatal(err)
	}
	c.shell = []string{"--rsh=" + mtls.ConnectCommand(self, f, "localhost", port)}
	c.t.Setenv(asConnect, "1")
}

func TestByTLSAHostFetchesAndTellsTheResult(t *testing.T) {
	ca := mtlstest.New(t, "authority")
	c := secure(t, ca, nil)
	big := filepath.Join(c.Share, "big")
	write(t, big, strings.Repeat("0123456789abcdef", 1<<20))
	c.connectBy(files(t, ca, ca.File, "backup-2", nil))
	got := t.TempDir()
	c.must("-a", c.url+"/reports/ext--*.b1k", got)
	c.must("-aHAX", "--numeric-ids", c.url+"/share/", filepath.Join(got, "share"))
	same(t, c.Share, filepath.Join(got, "share"))
	mark := report + ".backup-2.done"
	write(t, filepath.Join(got, mark), "")
	c.must("-a", filepath.Join(got, mark), c.url+"/reports/")
	c.eventually(mark, func() bool { _, err := os.Lstat(filepath.Join(c.Reports, mark)); return err == nil })
	if out, code := c.rsync("-a", filepath.Join(got, mark), c.url+"/share/"); code == 0 {
		t.Errorf("written into the share:\n%s", out)
	}
	if !strings.Contains(c.log.String(), `(\"backup-2\"): says `+mark) {
		t.Errorf("log:\n%s", c.log)
	}
}

func TestByTLSEachHostTellsItsOwnResultOnly(t *testing.T) {
	ca := mtlstest.New(t, "authority")
	c := secure(t, ca, func(s *Settings) { s.Hosts = []string{"backup-2", "backup-3"} })
	c.connectBy(files(t, ca, ca.File, "backup-3", nil))
	dir := t.TempDir()
	for host, want := range map[string]int{"backup-2": 23, "backup-3": 0} {
		mark := filepath.Join(dir, report+"."+host+".done")
		write(t, mark, "")
		if out, code := c.rsync("-a", mark, c.url+"/reports/"); code != want {
			t.Errorf("result of %s: exit %d; want %d:\n%s", host, code, want, out)
		}
	}
	if err := c.end(); err != nil {
		t.Error(err)
	}
	if got, want := names(t, c.Reports), report+" "+report+".backup-3.done"; got != want {
		t.Errorf("reports: %s; want %s", got, want)
	}
}

func TestByTLSWhoIsRefusedReadsWhyAndTheLogSaysWho(t *testing.T) {
	ca, other := mtlstest.New(t, "authority"), mtlstest.New(t, "another authority")
	for _, test := range []struct {
		name             string
		files            mtls.Files
		onClient, inLogs string
	}{
		{"another name", files(t, ca, ca.File, "intruder", nil), "it does not admit the name in it", `certificate of "intruder": not admitted; wanted is backup-2`},
		{"expired", files(t, ca, ca.File, "backup-2", mtlstest.Expired), "it has expired", `certificate of "backup-2": valid from`},
		{"another authority", files(t, other, ca.File, "backup-2", nil), "refused our certificate", `not issued by our tls_ca but by "another authority"`},
		{"a server that is not trusted", files(t, ca, other.File, "backup-2", nil), `certificate of "localhost": not issued by our tls_ca`, "refused our certificate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := secure(t, ca, nil)
			c.connectBy(test.files)
			out, code := c.rsync(c.url + "/share/")
			if code == 0 || !strings.Contains(out, test.onClient) {
				t.Errorf("exit %d; want %q:\n%s", code, test.onClient, out)
			}
			c.eventually("the log has it", func() bool { return strings.Contains(c.log.String(), "level=WARN") }) // the client may be gone before
			if err := c.end(); err != nil {
				t.Error(err)
			}
			log := strings.ReplaceAll(c.log.String(), `\"`, `"`)
			if !strings.Contains(log, test.inLogs) || strings.Count(log, "level=WARN") != 1 {
				t.Errorf("want one line with %q:\n%s", test.inLogs, log)
			}
		})
	}
}

func TestByTLSPlainRsyncAndSilenceAreCut(t *testing.T) {
	ca := mtlstest.New(t, "authority")
	c := secure(t, ca, func(s *Settings) { s.Handshake = 300 * time.Millisecond })
	if out, code := c.rsync(c.url + "/share/"); code == 0 {
		t.Errorf("served without TLS:\n%s", out)
	}
	c.eventually("the log says so", func() bool { return strings.Contains(c.log.String(), "it does not speak TLS") })
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("a silent client: %v", err)
	}
	c.eventually("the log says so", func() bool { return strings.Contains(c.log.String(), "no TLS within 300ms") })

	id, err := mtls.Open(files(t, ca, ca.File, "backup-2", nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	secured, err := tls.Dial("tcp", c.address, id.Client("localhost"))
	if err != nil {
		t.Fatal(err)
	}
	defer secured.Close()
	if got, err := io.ReadAll(secured); err != nil || !strings.HasPrefix(string(got), "@RSYNCD: ") {
		t.Errorf("silent after the certificate: got %q, %v", got, err)
	}
	c.eventually("the log says so", func() bool { return strings.Contains(c.log.String(), "cut: it has not said what it wants") })
}

func TestByTLSOneConnectionTooManyIsToldSo(t *testing.T) {
	ca := mtlstest.New(t, "authority")
	c := secure(t, ca, func(s *Settings) { s.Connections = 1 })
	f := files(t, ca, ca.File, "backup-2", nil)
	id, err := mtls.Open(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	first, err := tls.Dial("tcp", c.address, id.Client("localhost"))
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := first.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	c.connectBy(f)
	if out, code := c.rsync(c.url + "/share/"); code != 5 || !strings.Contains(out, "try again later") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}

func TestAHostThatDiesInMidPullMakesRoomForTheNext(t *testing.T) {
	ca := mtlstest.New(t, "authority")
	for name, begin := range map[string]func(*testing.T, func(*Settings)) *client{
		"plain": start,
		"TLS": func(t *testing.T, edit func(*Settings)) *client {
			c := secure(t, ca, edit)
			c.connectBy(files(t, ca, ca.File, "backup-2", nil))
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := begin(t, func(s *Settings) { s.Connections = 1 })
			write(t, filepath.Join(c.Share, "big"), strings.Repeat("0123456789abcdef", 4<<20))
			to := t.TempDir()
			pull := exec.Command("rsync", append(c.shell, "-a", "--bwlimit=1m", c.url+"/share/", to)...)
			pull.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			if err := pull.Start(); err != nil {
				t.Fatal(err)
			}
			c.eventually("something has come", func() bool {
				begun, err := filepath.Glob(filepath.Join(to, ".big.*"))
				return err == nil && len(begun) > 0
			})
			if err := syscall.Kill(-pull.Process.Pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			_ = pull.Wait() // it was killed
			again := t.TempDir()
			c.eventually("the next one is served", func() bool {
				_, code := c.rsync("-aHAX", "--numeric-ids", c.url+"/share/", again)
				return code == 0
			})
			same(t, c.Share, again)
		})
	}
}
