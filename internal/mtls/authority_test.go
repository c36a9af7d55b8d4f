package mtls_test

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"b1000/internal/mtls"
)

func newAuthority(t *testing.T) (mtls.Authority, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tls")
	a, err := mtls.NewAuthority(dir, "backups", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a, dir
}

func issue(t *testing.T, a mtls.Authority, r mtls.Request, at time.Time) mtls.Files {
	t.Helper()
	f, err := a.Issue(r, at)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestWhatTheAuthorityIssuesLetsTwoHostsMeet(t *testing.T) {
	a, dir := newAuthority(t)
	server := issue(t, a, mtls.Request{Name: "store", Names: []string{"store.example.org", "127.0.0.1", "::1"}, Server: true}, time.Now())
	client := issue(t, a, mtls.Request{Name: "web1"}, time.Now())
	for _, host := range []string{"store", "store.example.org", "127.0.0.1"} {
		onServer, onClient := meet(t, open(t, server).Server([]string{"web1"}), open(t, client).Client(host))
		if onServer != nil || onClient != nil {
			t.Errorf("%s: %v, %v", host, onServer, onClient)
		}
	}
	// A client's certificate makes no server, and a server's no client.
	if _, onClient := meet(t, open(t, client).Server([]string{"store"}), open(t, server).Client("web1")); onClient == nil {
		t.Error("a client's certificate is taken for a server's")
	}
	for _, name := range []string{"ca.key", "store.key", "web1.key"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	again, err := mtls.OpenAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Issue(mtls.Request{Name: "web1"}, time.Now()); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("written over: %v", err)
	}
	if _, err := mtls.NewAuthority(dir, "another", time.Now()); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("authority written over: %v", err)
	}
	if _, err := tls.LoadX509KeyPair(client.Cert, client.Key); err != nil {
		t.Errorf("after that: %v", err)
	}
}

func TestARenewedCertificateHasTheSameKeyAndNames(t *testing.T) {
	a, dir := newAuthority(t)
	long := time.Now().Add(-4 * 365 * 24 * time.Hour)
	server := issue(t, a, mtls.Request{Name: "store", Names: []string{"backup"}, Server: true}, long)
	client := issue(t, a, mtls.Request{Name: "web1"}, time.Now())
	key, err := os.ReadFile(server.Key)
	if err != nil {
		t.Fatal(err)
	}
	old, err := mtls.ReadCert(server.Cert)
	if err != nil {
		t.Fatal(err)
	}
	if text, useless := mtls.Standing(old, time.Now()); !useless || !strings.HasPrefix(text, "has expired at ") {
		t.Errorf("before: %q", text)
	}
	serving := open(t, server).Server([]string{"web1"})
	if err := a.Renew("store", time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"store", "backup"} {
		if onServer, onClient := meet(t, serving, open(t, client).Client(host)); onServer != nil || onClient != nil {
			t.Errorf("%s: %v, %v", host, onServer, onClient)
		}
	}
	if now, err := os.ReadFile(server.Key); err != nil || string(now) != string(key) {
		t.Errorf("another key: %v", err)
	}
	if err := a.Renew("ca", time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if again, err := mtls.OpenAuthority(dir); err != nil {
		t.Error(err)
	} else if onServer, onClient := meet(t, serving, open(t, client).Client("store")); onServer != nil || onClient != nil {
		t.Errorf("after the authority was renewed: %v, %v, %v", onServer, onClient, again)
	}
	if err := a.Renew("nobody", time.Now()); err == nil {
		t.Error("renewed what is not there")
	}
}

func TestNamesThatCannotBeFilesAreRefused(t *testing.T) {
	a, _ := newAuthority(t)
	for _, r := range []mtls.Request{
		{Name: ""}, {Name: "../x"}, {Name: "a/b"}, {Name: ".hidden"}, {Name: "ca"}, {Name: "a b"}, {Name: "ok", Names: []string{"*.example.org"}},
	} {
		if _, err := a.Issue(r, time.Now()); err == nil {
			t.Errorf("%+v: issued", r)
		}
	}
}

func TestAKeyThatOthersMayReadIsRefused(t *testing.T) {
	_, dir := newAuthority(t)
	if err := os.Chmod(filepath.Join(dir, "ca.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := mtls.OpenAuthority(dir); err == nil || !strings.Contains(err.Error(), "others may read it") {
		t.Errorf("got %v", err)
	}
}

func TestACertificateIsWarnedOfBeforeItsEnd(t *testing.T) {
	a, _ := newAuthority(t)
	cert, err := mtls.ReadCert(issue(t, a, mtls.Request{Name: "web1"}, time.Now()).Cert)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		at      time.Time
		want    string
		useless bool
	}{
		{time.Now(), "", false},
		{cert.NotAfter.Add(-10*24*time.Hour - time.Minute), "expires in 10 days", false},
		{cert.NotAfter.Add(time.Second), "has expired at", true},
		{cert.NotBefore.Add(-time.Second), "is not valid before", true},
	} {
		text, useless := mtls.Standing(cert, test.at)
		if !strings.HasPrefix(text, test.want) || test.want == "" && text != "" || useless != test.useless {
			t.Errorf("at %v: %q, %v", test.at, text, useless)
		}
	}
}
