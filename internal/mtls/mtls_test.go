package mtls_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"b1000/internal/mtls"
	"b1000/internal/mtls/mtlstest"
)

func files(tb testing.TB, ca *mtlstest.CA, trusted, name string, edit func(*x509.Certificate)) mtls.Files {
	tb.Helper()
	cert, key := ca.Issue(tb, name, edit)
	return mtls.Files{Cert: cert, Key: key, CA: trusted}
}

func open(tb testing.TB, f mtls.Files) *mtls.Identity {
	tb.Helper()
	id, err := mtls.Open(f, func(err error) { tb.Error(err) })
	if err != nil {
		tb.Fatal(err)
	}
	return id
}

// meet lets two ends meet, and returns what each says about it.
func meet(t *testing.T, server, client *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			done <- err
			return
		}
		defer conn.Close()
		secured := tls.Server(conn, server)
		if err = secured.HandshakeContext(context.Background()); err == nil {
			_, err = io.WriteString(secured, "hello")
			err = errors.Join(err, secured.CloseWrite())
		}
		done <- err
	}()
	conn, err := tls.Dial("tcp", l.Addr().String(), client)
	if err == nil {
		var got []byte
		got, err = io.ReadAll(conn)
		if err == nil && string(got) != "hello" {
			t.Errorf("got %q", got)
		}
		conn.Close()
	}
	return <-done, err
}

func TestBothEndsSayWhoIsRefusedAndWhy(t *testing.T) {
	ca, other := mtlstest.New(t, "our authority"), mtlstest.New(t, "another authority")
	good := func(name string) mtls.Files { return files(t, ca, ca.File, name, nil) }
	for _, test := range []struct {
		name           string
		server, client mtls.Files
		admitted       []string
		host           string
		onServer       string // in the server's words; "" for no error
		onClient       string
	}{
		{name: "admitted by common name or DNS name", server: good("web1"), client: good("backup-2"), admitted: []string{"backup-2"}, host: "web1"},
		{name: "upper case", server: good("web1"), client: good("Backup-2"), admitted: []string{"backup-2"}, host: "WEB1"},
		{name: "the server's common name without DNS names", host: "web1", admitted: []string{"backup-2"}, client: good("backup-2"),
			server: files(t, ca, ca.File, "web1", func(c *x509.Certificate) { c.DNSNames = nil })},
		{name: "a name that is not admitted", server: good("web1"), client: good("intruder"), admitted: []string{"backup-2", "backup-3"}, host: "web1",
			onServer: `certificate of "intruder": not admitted; wanted is backup-2 or backup-3`, onClient: "does not admit the name in it"},
		{name: "an empty list admits nobody", server: good("web1"), client: good("backup-2"), host: "web1",
			onServer: "wanted is nobody", onClient: "does not admit the name in it"},
		{name: "an empty name is nobody's", server: good("web1"), host: "web1", admitted: []string{""},
			client:   files(t, ca, ca.File, "", func(c *x509.Certificate) { c.DNSNames = nil }),
			onServer: "not admitted", onClient: "does not admit the name in it"},
		{name: "an expired certificate", server: good("web1"), client: files(t, ca, ca.File, "backup-2", mtlstest.Expired), admitted: []string{"backup-2"}, host: "web1",
			onServer: `certificate of "backup-2": valid from `, onClient: "refused our certificate: it has expired"},
		{name: "another authority's certificate", server: good("web1"), client: files(t, other, ca.File, "backup-2", nil), admitted: []string{"backup-2"}, host: "web1",
			onServer: "another authority", onClient: "refused our certificate"},
		{name: "a server of another authority", server: files(t, other, ca.File, "web1", nil), client: good("backup-2"), admitted: []string{"backup-2"}, host: "web1",
			onServer: "refused our certificate", onClient: `certificate of "web1": not issued by our tls_ca but by "another authority"`},
		{name: "a server that has expired", server: files(t, ca, ca.File, "web1", mtlstest.Expired), client: good("backup-2"), admitted: []string{"backup-2"}, host: "web1",
			onServer: "refused our certificate", onClient: `certificate of "web1": valid from`},
		{name: "another server", server: good("web2"), client: good("backup-2"), admitted: []string{"backup-2"}, host: "web1",
			onServer: "refused our certificate", onClient: `certificate of "web2": not that of web1`},
		{name: "a certificate that is not for servers", client: good("backup-2"), admitted: []string{"backup-2"}, host: "web1",
			server:   files(t, ca, ca.File, "web1", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }),
			onServer: "refused our certificate", onClient: "key usage"},
	} {
		t.Run(test.name, func(t *testing.T) {
			onServer, onClient := meet(t, open(t, test.server).Server(test.admitted), open(t, test.client).Client(test.host))
			for _, end := range []struct {
				name, want string
				got        error
			}{{"server", test.onServer, onServer}, {"client", test.onClient, onClient}} {
				switch {
				case end.want == "" && end.got != nil:
					t.Errorf("%s: %v", end.name, end.got)
				case end.want != "" && (end.got == nil || !strings.Contains(mtls.Explain(end.got).Error(), end.want)):
					t.Errorf("%s says %v; want %q", end.name, mtls.Explain(end.got), end.want)
				}
			}
		})
	}
}

func TestWithoutACertificateOrWithAnOlderVersionNobodyIsAdmitted(t *testing.T) {
	ca := mtlstest.New(t, "our authority")
	server := open(t, files(t, ca, ca.File, "web1", nil)).Server([]string{"backup-2"})
	for name, test := range map[string]struct {
		config *tls.Config
		want   string
	}{
		"no certificate": {&tls.Config{InsecureSkipVerify: true}, "wants a certificate, and got none"},
		"TLS 1.2":        {&tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}, "1.3 is needed"},
	} {
		onServer, onClient := meet(t, server, test.config)
		if onServer == nil || onClient == nil || !strings.Contains(mtls.Explain(onClient).Error(), test.want) {
			t.Errorf("%s: server %v, client %v; want %q", name, onServer, mtls.Explain(onClient), test.want)
		}
	}
}

func TestAReloadTakesGoodFilesAndKeepsTheOldPairForBadOnes(t *testing.T) {
	ca := mtlstest.New(t, "our authority")
	f := files(t, ca, ca.File, "web1", nil)
	var told []error
	id, err := mtls.Open(f, func(err error) { told = append(told, err) })
	if err != nil {
		t.Fatal(err)
	}
	client := open(t, files(t, ca, ca.File, "backup-2", nil))
	meets := func(host string) error {
		onServer, onClient := meet(t, id.Server([]string{"backup-2"}), client.Client(host))
		return errors.Join(onServer, onClient)
	}
	if err := os.WriteFile(f.Cert, []byte("half a certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := meets("web1"); err != nil {
			t.Errorf("with a broken file in place of the old: %v", err)
		}
	}
	if len(told) != 1 || !strings.Contains(told[0].Error(), f.Cert) {
		t.Errorf("told %v", told)
	}
	renewed := files(t, ca, ca.File, "web9", nil)
	for from, to := range map[string]string{renewed.Cert: f.Cert, renewed.Key: f.Key} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	if err := meets("web9"); err != nil {
		t.Errorf("the renewed certificate is not used: %v", err)
	}
}

func TestOpenNamesTheFileAtFault(t *testing.T) {
	ca := mtlstest.New(t, "our authority")
	good, second := files(t, ca, ca.File, "web1", nil), files(t, ca, ca.File, "web2", nil)
	for name, test := range map[string]struct {
		files mtls.Files
		want  string
	}{
		"not all three":     {mtls.Files{Cert: good.Cert, Key: good.Key}, "belong together"},
		"missing":           {mtls.Files{Cert: "/nonexistent.pem", Key: good.Key, CA: ca.File}, "/nonexistent.pem"},
		"another's key":     {mtls.Files{Cert: good.Cert, Key: second.Key, CA: ca.File}, "does not match"},
		"no authority":      {mtls.Files{Cert: good.Cert, Key: good.Key, CA: good.Key}, "holds no certificate"},
		"missing authority": {mtls.Files{Cert: good.Cert, Key: good.Key, CA: "/nonexistent.pem"}, "tls_ca: "},
	} {
		if _, err := mtls.Open(test.files, nil); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v; want %q", name, err, test.want)
		}
	}
}

// Whatever is in the names, the program gets what it was to get from a real rsync,
// and rsync's own words behind it.
func TestConnectCommandIsSplitByRsync(t *testing.T) {
	dir := t.TempDir()
	program, heard := filepath.Join(dir, `it's "a" program`), filepath.Join(dir, "heard")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nprintf '%s\\n' \"$@\" >"+heard+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	f := mtls.Files{Cert: "/etc/it's 100%H.pem", Key: `/k\'' "`, CA: "/c"}
	command := mtls.ConnectCommand(program, f, "web1", "8730", "/v1/transfer/A")
	out, err := exec.Command("rsync", "--rsh="+command, "rsync://web1:8730/backups/", dir+"/to").CombinedOutput()
	if err == nil {
		t.Errorf("a program that says nothing was taken for a daemon: %s", out)
	}
	got, err := os.ReadFile(heard)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := strings.Join([]string{"connect", f.Cert, f.Key, f.CA, "web1", "8730", "/v1/transfer/A", "--", "web1", "rsync", "--server", "--daemon", ".", ""}, "\n")
	if string(got) != want {
		t.Errorf("got %q; want %q", got, want)
	}
}
