package systemd

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Listeners takes over the sockets that the service manager has opened for the
// process pid, each of which must have one of the names, and no two the same
// (FileDescriptorName=). It is empty where none were handed over; anything that
// is not as wanted is an error. It may be called once.
func Listeners(getenv func(string) string, pid int, names ...string) (map[string]net.Listener, error) {
	return listeners(getenv, pid, firstSocket, names)
}

func listeners(getenv func(string) string, pid, first int, names []string) (map[string]net.Listener, error) {
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
	given := strings.Split(getenv("LISTEN_FDNAMES"), ":")
	found := map[string]net.Listener{}
	for i := range count {
		l, err := oneOf(found, first+i, given, i, names)
		if err != nil {
			for _, other := range found {
				other.Close()
			}
			return nil, err
		}
		found[given[i]] = l
	}
	return found, nil
}

func oneOf(found map[string]net.Listener, fd int, given []string, i int, names []string) (net.Listener, error) {
	if len(given) <= i || !slices.Contains(names, given[i]) || found[given[i]] != nil {
		return nil, fmt.Errorf("the service manager has opened sockets named %s; wanted is one each named %s", strings.Join(given, ", "), strings.Join(names, ", "))
	}
	file := os.NewFile(uintptr(fd), given[i])
	defer file.Close()
	l, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", given[i], err)
	}
	return l, nil
}
