package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
)

// ErrNotBooted says that this host's service manager is not systemd.
var ErrNotBooted = errors.New("systemd does not run on this host")

// Booted reports whether systemd is this host's service manager (sd_booted(3)).
func Booted() bool {
	info, err := os.Lstat("/run/systemd/system")
	return err == nil && info.IsDir()
}

// Manager is the service manager of this host, over D-Bus. A connection that
// breaks is made again. Its methods may be called by several goroutines.
type Manager struct {
	mu      sync.Mutex
	conn    *dbus.Conn
	waiting map[dbus.ObjectPath]chan string // jobs of the manager, until they are removed
}

// How long the service manager may take to let us in, and for an answer: it is
// busy while it reloads.
const (
	dialLimit = 10 * time.Second
	callLimit = 90 * time.Second
)

const (
	busName      = "org.freedesktop.systemd1"
	busPath      = "/org/freedesktop/systemd1"
	managerIface = busName + ".Manager"
	unitIface    = busName + ".Unit"
	serviceIface = busName + ".Service"
	timerIface   = busName + ".Timer"
	private      = "unix:path=/run/systemd/private"
)

// Connect connects to the service manager: over the system bus or, for root
// where there is none, directly. The error is [ErrNotBooted] where there is no
// systemd. The caller calls Close.
func Connect(ctx context.Context) (*Manager, error) {
	if !Booted() {
		return nil, ErrNotBooted
	}
	m := &Manager{waiting: map[dbus.ObjectPath]chan string{}}
	_, err := m.connection(ctx)
	return m, err
}

// Close closes the connection.
func (m *Manager) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn != nil {
		m.conn.Close()
	}
}

// connection is the connection, made again where it is broken.
func (m *Manager) connection(ctx context.Context) (*dbus.Conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn != nil && m.conn.Connected() {
		return m.conn, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	conn, err := dial(bus)
	if err != nil && os.Geteuid() == 0 {
		conn, err = dial(direct)
	}
	if err != nil {
		return nil, fmt.Errorf("service manager: %w", err)
	}
	removed := make(chan *dbus.Signal, 16)
	conn.Signal(removed)
	go m.listen(removed)
	m.conn = conn
	return conn, nil
}

// dial makes a connection that signals come over, in dialLimit at most: a bus
// that is being stopped takes connections and does not answer.
func dial(open func(...dbus.ConnOption) (*dbus.Conn, error)) (*dbus.Conn, error) {
	ctx, cancel := context.WithCancel(context.Background())
	limit := time.AfterFunc(dialLimit, cancel)
	conn, err := open(dbus.WithSignalHandler(dbus.NewSequentialSignalHandler()), dbus.WithContext(ctx))
	if err == nil {
		err = conn.Object(busName, busPath).Call(managerIface+".Subscribe", 0).Err
	}
	if err == nil && limit.Stop() {
		return conn, nil
	}
	if err == nil || ctx.Err() != nil {
		err = fmt.Errorf("no answer within %v", dialLimit)
	}
	cancel() // which closes the connection
	return nil, err
}

// bus connects over the system bus.
func bus(options ...dbus.ConnOption) (*dbus.Conn, error) {
	conn, err := dbus.ConnectSystemBus(options...)
	if err != nil {
		return nil, err
	}
	return conn, conn.AddMatchSignal(dbus.WithMatchInterface(managerIface), dbus.WithMatchMember("JobRemoved"))
}

// direct connects without a bus in between: there is no one to say Hello to, and
// every signal comes.
func direct(options ...dbus.ConnOption) (*dbus.Conn, error) {
	conn, err := dbus.Dial(private, options...)
	if err != nil {
		return nil, err
	}
	if err := conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Getuid()))}); err != nil {
		return nil, err
	}
	return conn, wake(conn)
}

// wake has a direct connection answered: systemd 252 overlooks a first message
// that comes in one piece with the end of the greeting, until there is a second.
func wake(conn *dbus.Conn) error {
	for {
		ctx, cancel := context.WithTimeout(conn.Context(), 200*time.Millisecond)
		err := conn.Object(busName, busPath).CallWithContext(ctx, "org.freedesktop.DBus.Peer.Ping", 0).Err
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
}

// listen hands on the results of jobs until the connection ends.
func (m *Manager) listen(removed <-chan *dbus.Signal) {
	for s := range removed {
		var id uint32
		var job dbus.ObjectPath
		var unit, result string
		if s.Name != managerIface+".JobRemoved" || dbus.Store(s.Body, &id, &job, &unit, &result) != nil {
			continue
		}
		m.mu.Lock()
		if c := m.waiting[job]; c != nil {
			c <- result
			delete(m.waiting, job)
		}
		m.mu.Unlock()
	}
}

// call calls a method of the manager and stores what it returns.
func (m *Manager) call(ctx context.Context, method string, out any, args ...any) error {
	return m.ask(ctx, busPath, managerIface+"."+method, out, args...)
}

func (m *Manager) ask(ctx context.Context, path dbus.ObjectPath, method string, out any, args ...any) error {
	conn, err := m.connection(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, callLimit, fmt.Errorf("the service manager did not answer within %v", callLimit))
	defer cancel()
	c := conn.Object(busName, path).CallWithContext(ctx, method, 0, args...)
	switch {
	case c.Err != nil && ctx.Err() != nil:
		return context.Cause(ctx)
	case c.Err != nil || out == nil:
		return c.Err
	}
	return c.Store(out)
}

// properties are those of one interface of a unit, which is loaded for that.
func (m *Manager) properties(ctx context.Context, unit, iface string) (map[string]dbus.Variant, error) {
	var path dbus.ObjectPath
	if err := m.call(ctx, "LoadUnit", &path, unit); err != nil {
		return nil, err
	}
	var all map[string]dbus.Variant
	err := m.ask(ctx, path, "org.freedesktop.DBus.Properties.GetAll", &all, iface)
	return all, err
}

// value is a property, or the zero value where there is none of that type.
func value[T any](properties map[string]dbus.Variant, name string) T {
	v, _ := properties[name].Value().(T)
	return v
}
