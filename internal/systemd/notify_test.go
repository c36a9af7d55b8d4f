package systemd

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// listen is a socket that takes datagrams.
func listen(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// receive reads one datagram.
func receive(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 1<<16)
	n, err := conn.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func TestNotices(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), "@b1000-test-" + filepath.Base(t.TempDir()) + t.Name()} {
		conn := listen(t, name)
		n, err := NewNotifier(name)
		if err != nil {
			t.Fatal(err)
		}
		n.Ready()
		n.Status("copying to hd: 42 %,\n1.2 GiB\xff")
		n.Extend(90 * time.Second)
		n.Watchdog()
		n.Stopping()
		n.Ready()
		n.Watchdog()
		n.Status("over")
		want := []string{"READY=1", "STATUS=copying to hd: 42 %, 1.2 GiB?", "EXTEND_TIMEOUT_USEC=90000000", "WATCHDOG=1", "STOPPING=1", "STATUS=over"}
		var got []string
		for range want {
			got = append(got, receive(t, conn))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q", name, got)
		}
		n.Close()
		n.Status("after the end")
	}
}

// READY after STOPPING would bring a service back that goes down.
func TestReadyNeverFollowsStopping(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	for range 50 {
		conn := listen(t, name)
		n, err := NewNotifier(name)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(n.Ready)
		}
		wg.Go(n.Stopping)
		wg.Wait()
		n.Status("end")
		stopping := false
		for m := receive(t, conn); m != "STATUS=end"; m = receive(t, conn) {
			if stopping {
				t.Fatalf("%s after STOPPING=1", m)
			}
			stopping = m == "STOPPING=1"
		}
		conn.Close()
		os.Remove(name)
	}
}

func TestNobodyToNotify(t *testing.T) {
	for name, want := range map[string]string{
		"": "", "relative": "neither a path nor", filepath.Join(t.TempDir(), "gone"): "no such file",
	} {
		n, err := NewNotifier(name)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", name, err)
		}
		n.Status("text")
		n.Stopping()
		n.Close()
	}
}

func TestWatchdogEvery(t *testing.T) {
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"30000000", "", 15 * time.Second}, {"30000000", "42", 15 * time.Second}, {"30000000", "43", 0},
		{"", "42", 0}, {"-1", "", 0}, {"x", "", 0}, {"18446744073709551615", "", 0},
	} {
		env := map[string]string{"WATCHDOG_USEC": c.usec, "WATCHDOG_PID": c.pid}
		if got := WatchdogEvery(func(k string) string { return env[k] }, 42); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
