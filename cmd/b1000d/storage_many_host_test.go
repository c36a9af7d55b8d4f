package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"b1000/internal/mtls/mtlstest"
	"b1000/internal/report"
	"b1000/internal/store"
	"b1000/internal/testhost"
)

// newServedHost is a storage server on a host that has booted, as its units start
// it, with no more than they allow. The host is in this machine's network.
func newServedHost(t *testing.T, settings string) (*served, *testhost.Host) {
	t.Helper()
	h := testhost.New(t, testhost.Options{Name: "store"})
	h.Install(os.Getenv(programsIn))
	s := &served{t: t, dir: h.Root + "/srv", port: freePort(t), ca: mtlstest.New(t, "authority")}
	cert, key := s.ca.Issue(t, "localhost", nil)
	for from, to := range map[string]string{cert: "store.pem", key: "store.key", s.ca.File: "ca.pem"} {
		h.Copy(from, "/etc/b1000/tls/"+to)
	}
	for _, d := range []string{"/kept", "/clients"} {
		must(t, os.MkdirAll(s.dir+d, 0o700))
	}
	h.Write("/etc/b1000/b1000.cfg", "[storage]\npath = /srv/kept\nclients_dir = /srv/clients\nport = "+s.port+"\nmin_free = 1M\n"+
		"tls_cert = /etc/b1000/tls/store.pem\ntls_key = /etc/b1000/tls/store.key\ntls_ca = /etc/b1000/tls/ca.pem\n"+settings+"\n", 0o600)
	for unit, port := range map[string]string{"b1000-storage": s.port, "b1000-storage-status": freePort(t)} {
		h.Write("/etc/systemd/system/"+unit+".socket.d/port.conf", "[Socket]\nListenStream=\nListenStream=127.0.0.1:"+port+"\n", 0o644)
	}
	h.Boot()
	h.MustRun("systemctl", "start", "b1000-storage.socket")
	return s, h
}

// memory is the most that the server has held, in KiB.
func memory(t *testing.T, h *testhost.Host) (kib int) {
	t.Helper()
	text := h.MustRun("cat", "/proc/"+property(h, "b1000-storage.service", "MainPID")+"/status")
	_, rest, _ := strings.Cut(text, "VmHWM:")
	_, err := fmt.Sscan(rest, &kib)
	must(t, err)
	return kib
}

// They come from one address, as from behind a router.
func TestOnHostsTwoHundredClientsAtOnce(t *testing.T) {
	t.Parallel()
	const clients = 200
	s, h := newServedHost(t, "max_clients = 50\nkeep = 2")
	src := filepath.Join(t.TempDir(), "src")
	must(t, os.MkdirAll(src, 0o755))
	for n := range 50 {
		must(t, os.WriteFile(fmt.Sprintf("%s/%d", src, n), bytes.Repeat([]byte{byte(n)}, 8<<10), 0o644))
	}
	all := make([]store.Store, clients)
	for n := range all {
		all[n] = s.client(fmt.Sprintf("web%d", n), "")
	}
	begun := time.Now()
	var wg sync.WaitGroup
	for n, st := range all {
		wg.Go(func() {
			if err := storeOnce(st, targetOf(fmt.Sprintf("web%d", n), 1), src); err != nil {
				t.Errorf("web%d: %v", n, err)
			}
		})
	}
	wg.Wait()
	t.Logf("%d clients at once, 50 of them served at a time: %.1f s; memory of the server %.0f MiB at most", clients, time.Since(begun).Seconds(), float64(memory(t, h))/1024)
	for _, n := range []int{0, 77, clients - 1} {
		l, err := all[n].List(context.Background(), "")
		must(t, err)
		if len(l) != 1 || l[0].State != report.Complete {
			t.Fatalf("web%d: %+v", n, l)
		}
		to := filepath.Join(t.TempDir(), "back")
		_, err = all[n].Restore(context.Background(), l[0], store.Restore{To: to})
		must(t, err)
		equal(t, src, to+"/src")
	}
	if kib := memory(t, h); kib > 128<<10 {
		t.Errorf("the server has held %d KiB", kib)
	}
}
