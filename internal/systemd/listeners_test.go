package systemd

import (
	"net"
	"strings"
	"syscall"
	"testing"
)

func TestAServiceTakesSocketsByTheirNames(t *testing.T) {
	var sockets []int // not in the order of the names
	var addresses []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		sockets, addresses = append(sockets, int(f.Fd())), append(addresses, l.Addr().String())
	}
	const first = 200
	take := func(env map[string]string) (map[string]net.Listener, error) {
		for i, fd := range sockets {
			if err := syscall.Dup3(fd, first+i, syscall.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
		}
		return listeners(func(k string) string { return env[k] }, 42, first, []string{"storage", "status"})
	}
	got, err := take(map[string]string{"LISTEN_PID": "42", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "status:storage"})
	if err != nil || len(got) != 2 || got["status"].Addr().String() != addresses[0] || got["storage"].Addr().String() != addresses[1] {
		t.Errorf("got %v, %v", got, err)
	}
	for _, l := range got {
		l.Close()
	}
	for names, want := range map[string]string{
		"storage:storage": "wanted is one each named storage, status", "storage:x": "named storage, x", "storage": "wanted is one each",
	} {
		if got, err := take(map[string]string{"LISTEN_PID": "42", "LISTEN_FDS": "2", "LISTEN_FDNAMES": names}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", names, got, err)
		}
	}
	if got, err := take(map[string]string{"LISTEN_PID": "1", "LISTEN_FDS": "2"}); len(got) != 0 || err != nil {
		t.Errorf("another process's: %v, %v", got, err)
	}
}
