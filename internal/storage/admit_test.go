package storage

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"b1000/internal/mtls"
	"b1000/internal/mtls/mtlstest"
)

func TestWhoIsRefusedReadsWhyAndTheLogSaysWho(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	s.admit("web1")
	write(t, filepath.Join(s.ClientsDir, "broken"), "ssl_peer_cn = broken\nnonsense = 1\n")
	write(t, filepath.Join(s.ClientsDir, "twice"), "ssl_peer_cn = both\n")
	write(t, filepath.Join(s.ClientsDir, "thrice"), "ssl_peer_cn = both\n")
	other := mtlstest.New(t, "another authority")
	foreign := func(trusted string) mtls.Files {
		cert, key := other.Issue(t, "web1", nil)
		return mtls.Files{Cert: cert, Key: key, CA: trusted}
	}
	ours := s.files("web1", nil)
	for _, test := range []struct {
		name               string
		files              mtls.Files
		onClient, onServer string
	}{
		{"another name", s.files("intruder", nil), "does not admit the name in it", `certificate of "intruder": no file in`},
		{"expired", s.files("web1", mtlstest.Expired), "it has expired", `certificate of "web1": valid from`},
		{"another authority", foreign(s.ca.File), "its tls_ca is not the authority that issued it", `not issued by our tls_ca but by "another authority"`},
		{"a server of another authority", mtls.Files{Cert: ours.Cert, Key: ours.Key, CA: other.File}, `certificate of "localhost": not issued by our tls_ca`, "refused our certificate"},
		{"not for clients", s.files("web1", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), "refused our certificate", "key usage"},
		{"a file with a fault", s.files("broken", nil), "does not admit the name in it", "not admitted: " + s.ClientsDir + "/broken:2: [client:broken] nonsense"},
		{"two files", s.files("both", nil), "does not admit the name in it", "it may be that of one only"},
	} {
		_, err := s.open(test.files).List(context.Background(), "")
		if err == nil || !strings.Contains(err.Error(), test.onClient) {
			t.Errorf("%s: got %v; want %q", test.name, err, test.onClient)
		}
		eventually(t, "the log says "+test.onServer, func() bool { return strings.Contains(s.log.String(), test.onServer) })
	}
	conn, err := tls.Dial("tcp", "127.0.0.1:"+s.port, &tls.Config{InsecureSkipVerify: true})
	if err == nil {
		_, err = conn.Read(make([]byte, 1))
	}
	says(t, mtls.Explain(err), "wants a certificate, and got none")
	if _, err := s.open(ours).List(context.Background(), ""); err != nil {
		t.Errorf("who is admitted: %v", err)
	}
}

func TestAnEmptyDirectoryAdmitsNobodyAndAFileThatComesAdmitsAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	st := s.open(s.files("web1", nil))
	_, err := st.List(context.Background(), "")
	says(t, err, "does not admit the name in it")
	s.admit("web1")
	if _, err := st.List(context.Background(), ""); err != nil {
		t.Error(err)
	}
	must(t, os.Remove(filepath.Join(s.ClientsDir, "web1")))
	_, err = st.List(context.Background(), "")
	says(t, err, "not admit") // on the connection that is open still, or on a new one
	must(t, os.RemoveAll(s.ClientsDir))
	_, err = st.List(context.Background(), "")
	says(t, err, "not admit")
}

func TestAFileThatWasPutAsideAdmitsNobody(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	st := s.client("web1")
	if _, err := st.List(context.Background(), ""); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(s.ClientsDir, "web1")
	must(t, os.Rename(file, file+".bak"))
	_, err := st.List(context.Background(), "")
	says(t, err, "not admit")
	if bad := s.clients.unusable(); len(bad) != 1 || !strings.Contains(bad[0], "web1.bak: ends in .bak, as what was put aside") {
		t.Errorf("unusable are %q", bad)
	}
	must(t, os.Rename(file+".bak", file))
	text, err := os.ReadFile(file)
	must(t, err)
	must(t, os.WriteFile(file+"-too", text, 0o600))
	_, err = st.List(context.Background(), "")
	says(t, err, "not admit")
	if bad := s.clients.unusable(); len(bad) != 1 || !strings.Contains(bad[0], "stands in web1 and in web1-too") {
		t.Errorf("unusable are %q", bad)
	}
}

func TestRemovingTheFileCutsARunningUpload(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	st := s.client("web1")
	b, err := st.Begin(context.Background(), target(1))
	must(t, err)
	defer b.Close()
	src := source(t)
	random(t, src+"/big", 8<<20)
	tree := treeOf(src)
	tree.BWLimit = "500"
	failed := make(chan error, 1)
	go func() {
		_, err := b.Tree(context.Background(), tree)
		failed <- err
	}()
	eventually(t, "something has come", func() bool {
		found, _ := filepath.Glob(s.Path + "/web1/etc/*/.partial-*/src/.big*")
		return len(found) > 0
	})
	must(t, os.Remove(filepath.Join(s.ClientsDir, "web1")))
	says(t, <-failed, "rsync: ")
	if !strings.Contains(s.log.String(), "client web1 is not admitted any more") {
		t.Error("the log does not say why")
	}
	if err := end(b, target(1), resultOfNothing); err == nil {
		t.Error("committed by a client that is not admitted any more")
	}
}

func TestSilentConnectionsAreCutAndKeepNobodyOut(t *testing.T) {
	t.Parallel()
	s := start(t, func(s *Settings) { s.Handshake, s.Idle, s.Timeout = time.Second, time.Second, time.Second })
	st := s.client("web1")
	var silent []net.Conn
	for range 3 * mostFromAddress {
		c, err := net.Dial("tcp", "127.0.0.1:"+s.port)
		must(t, err)
		defer c.Close()
		silent = append(silent, c)
	}
	eventually(t, "an honest client is served", func() bool { _, err := st.List(context.Background(), ""); return err == nil })
	for _, c := range silent {
		must(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
		if _, err := io.ReadAll(c); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Fatal("a silent connection is still open")
		}
	}
	// One that has shown its certificate and is silent then, or says half of
	// something.
	id, err := mtls.Open(s.files("web1", nil), nil)
	must(t, err)
	for _, half := range []string{"", "G", "GET /v1/list HTTP/1.1\r\nHost: x\r\nX-A", "@RSYNCD: 31.0", "POST /v1/begin HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"} {
		c, err := tls.Dial("tcp", "127.0.0.1:"+s.port, id.Client("localhost"))
		must(t, err)
		defer c.Close()
		_, err = c.Write([]byte(half))
		must(t, err)
		must(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
		if _, err := io.ReadAll(c); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("after %q the connection is still open", half)
		}
	}
}

// Many hosts behind one address come at the same minute.
func TestManyFromOneAddressWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	d := newDoors()
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	var done []func()
	for range mostFromAddress {
		leave, err := d.knock(t.Context(), here)
		must(t, err)
		done = append(done, leave)
	}
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := d.knock(short, here)
	says(t, err, "64 others from there have not said in time who they are")
	order := make(chan int, 2)
	for n := range 2 {
		go func() {
			leave, err := d.knock(t.Context(), here)
			if err == nil {
				order <- n
				leave()
				leave() // again does nothing
			}
		}()
		eventually(t, "it waits", func() bool { d.mu.Lock(); defer d.mu.Unlock(); return d.all == mostFromAddress+1+n })
	}
	done[0]()
	if first, second := <-order, <-order; first != 0 || second != 1 {
		t.Errorf("%d came before %d", first, second)
	}
	for _, leave := range done {
		leave()
	}
	eventually(t, "all have left", func() bool { d.mu.Lock(); defer d.mu.Unlock(); return d.all == 0 && len(d.unknown) == 0 })
	for range mostFromAddress {
		_, err := d.knock(t.Context(), here)
		must(t, err)
	}
	for range mostInLine {
		_, err := d.join("pipe")
		must(t, err)
	}
	_, err = d.knock(t.Context(), here)
	says(t, err, "have not said yet who they are")
}
