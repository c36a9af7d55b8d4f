package systemd

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// firstSocket is the descriptor of the first socket (sd_listen_fds(3)).
const firstSocket = 3

// Listener takes over the one socket that the service manager has opened for the
// process pid, which must be named so (FileDescriptorName=). It is nil, without
// an error, where no socket was handed over. Any other number of sockets, another
// name, or what is no listening socket is an error. It may be called once: the
// descriptors are taken.
func Listener(getenv func(string) string, pid int, name string) (net.Listener, error) {
	return listener(getenv, pid, name, firstSocket)
}

func listener(getenv func(string) string, pid int, name string, first int) (net.Listener, error) {
	if getenv("LISTEN_PID") != strconv.Itoa(pid) {
		return nil, nil
	}
	count, err := strconv.Atoi(getenv("LISTEN_FDS"))
	if err != nil || count < 1 {
		return nil, fmt.Errorf("LISTEN_FDS=%s: not a number of sockets", getenv("LISTEN_FDS"))
	}
	for fd := first; fd < first+count; fd++ {
		syscall.CloseOnExec(fd)
	}
	if names := strings.Split(getenv("LISTEN_FDNAMES"), ":"); count != 1 || len(names) != 1 || names[0] != name {
		return nil, fmt.Errorf("the service manager has opened %d sockets named %s; wanted is one named %s", count, getenv("LISTEN_FDNAMES"), name)
	}
	file := os.NewFile(uintptr(first), name)
	defer file.Close()
	l, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", name, err)
	}
	return l, nil
}
