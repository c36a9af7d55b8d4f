package systemd

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestAServiceTakesTheOneSocketOfItsName(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	socket, err := tcp.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, test := range []struct {
		name       string
		pid, count string
		names      string
		file       *os.File // taken over
		want       string   // in the error, "" for a listener, "none" for neither
	}{
		{"the one", "42", "1", "passive", socket, ""},
		{"another name", "42", "1", "status", socket, "wanted is one named passive"},
		{"no name", "42", "1", "", socket, "wanted is one named passive"},
		{"two names", "42", "1", "passive:passive", socket, "wanted is one named passive"},
		{"no socket", "42", "1", "passive", null, "socket passive: "},
		{"no number", "42", "x", "passive", null, "LISTEN_FDS=x: not a number"},
		{"less than one", "42", "0", "", null, "LISTEN_FDS=0: not a number"},
		{"another process's", "1", "1", "passive", null, "none"},
	} {
		t.Run(test.name, func(t *testing.T) {
			fd, err := syscall.Dup(int(test.file.Fd()))
			if err != nil {
				t.Fatal(err)
			}
			env := map[string]string{"LISTEN_PID": test.pid, "LISTEN_FDS": test.count, "LISTEN_FDNAMES": test.names}
			l, err := listener(func(key string) string { return env[key] }, 42, "passive", fd)
			switch {
			case test.want == "" && (err != nil || l.Addr().String() != tcp.Addr().String()):
				t.Errorf("got %v, %v", l, err)
			case test.want == "none" && (l != nil || err != nil):
				t.Errorf("got %v, %v; want neither", l, err)
			case test.want != "" && test.want != "none" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v; want %q", err, test.want)
			}
			if l != nil {
				l.Close()
				return
			}
			syscall.Close(fd)
		})
	}
}
