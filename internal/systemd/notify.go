package systemd

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Notifier tells the service manager how this process stands (sd_notify(3)).
// Its methods may be called by several goroutines. They do not fail: a service
// manager that cannot be told is no reason to end a backup. One without a
// socket does nothing.
type Notifier struct {
	mu       sync.Mutex
	conn     net.Conn // nil: nobody to tell
	stopping bool
}

// writeLimit is how long a service manager that does not read is waited for.
const writeLimit = time.Second

// NewNotifier connects to a socket as NOTIFY_SOCKET names it: a path, or a name
// in the abstract namespace that begins with "@". Without a name there is nobody
// to tell. It returns a usable Notifier with every error. The caller calls Close.
func NewNotifier(socket string) (*Notifier, error) {
	if socket == "" {
		return &Notifier{}, nil
	}
	if socket[0] != '/' && socket[0] != '@' {
		return &Notifier{}, fmt.Errorf("NOTIFY_SOCKET=%s: neither a path nor an abstract socket", socket)
	}
	conn, err := net.Dial("unixgram", socket) // which knows "@" as well
	if err != nil {
		return &Notifier{}, fmt.Errorf("NOTIFY_SOCKET=%s: %w", socket, err)
	}
	return &Notifier{conn: conn}, nil
}

// Close lets go of the socket.
func (n *Notifier) Close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conn != nil {
		n.conn.Close()
		n.conn = nil
	}
}

// Status says in one line what is being done, for systemctl status.
func (n *Notifier) Status(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.send("STATUS=" + strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " "))
}

// Extend asks for d more, from now, to start or to stop in, whichever is going
// on. It counts only before the time allowed is over.
func (n *Notifier) Extend(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.send("EXTEND_TIMEOUT_USEC=" + strconv.FormatInt(d.Microseconds(), 10))
}

// Ready says that a Type=notify service is up. After Stopping it is not said.
func (n *Notifier) Ready() { n.unlessStopping("READY=1") }

// Watchdog is the sign of life that WatchdogSec= asks for (see [WatchdogEvery]).
// After Stopping it is not given.
func (n *Notifier) Watchdog() { n.unlessStopping("WATCHDOG=1") }

func (n *Notifier) unlessStopping(message string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.stopping {
		n.send(message)
	}
}

// Stopping says that the end has begun.
func (n *Notifier) Stopping() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stopping = true
	n.send("STOPPING=1")
}

func (n *Notifier) send(message string) {
	if n.conn == nil {
		return
	}
	_ = n.conn.SetWriteDeadline(time.Now().Add(writeLimit))
	_, _ = n.conn.Write([]byte(message))
}

// WatchdogEvery is how often the service manager wants to hear [Notifier.Watchdog]
// from the process pid: half of the time after which it acts. It is 0 where it
// wants nothing (sd_watchdog_enabled(3)).
func WatchdogEvery(getenv func(string) string, pid int) time.Duration {
	if other := getenv("WATCHDOG_PID"); other != "" && other != strconv.Itoa(pid) {
		return 0
	}
	usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 || usec > int64(1<<63-1)/int64(time.Microsecond) {
		return 0
	}
	return time.Duration(usec) * time.Microsecond / 2
}
