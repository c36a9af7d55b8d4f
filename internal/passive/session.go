package passive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"b1000/internal/process"
)

// session is one connection of an admitted client.
type session struct {
	hosts  []string // that the client is
	from   string   // for the log
	conn   net.Conn
	tunnel bool // whether rsync gets a tunnel to conn instead of conn itself
	socket func() (*os.File, error)
}

// Names in the directory of a connection.
const (
	configName  = "rsyncd.conf"
	namesName   = "names" // that may be read and written among the reports
	logName     = "log"
	requestName = "request"
)

// greeting is what an rsync daemon says first, and full what it says instead of
// serving.
const (
	greeting = "@RSYNCD: 31.0 sha512 sha256 sha1 md5 md4\n"
	full     = greeting + "@ERROR: %d connections are served already; try again later\n"
)

// serve serves an admitted client until it is done.
func (s *Server) serve(ctx context.Context, c session) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		s.Log.Warn(fmt.Sprintf("%s: refused: %d connections are served already", c.from, s.Connections))
		c.sayFull(s.Connections, s.Handshake)
		return
	}
	s.count(c.from, 1)
	defer s.count(c.from, -1)
	dir, err := os.MkdirTemp(s.Dir, "connection-")
	if err == nil {
		err = errors.Join(s.transfer(ctx, c, dir), os.RemoveAll(dir))
	}
	if err != nil {
		s.Log.Error(c.from + ": " + err.Error())
	}
}

// sayFull tells a client that it is one too many, and waits until it has read
// that: what it has sent would else break the connection before.
func (c session) sayFull(connections int, limit time.Duration) {
	_ = c.conn.SetDeadline(time.Now().Add(limit))
	if _, err := fmt.Fprintf(c.conn, full, connections); err != nil {
		return
	}
	endWriting(c.conn)
	_, _ = io.Copy(io.Discard, c.conn)
}

// transfer runs rsync on a connection, and tells what has come of it. An error
// is one of this host; one of the client or of rsync is logged.
func (s *Server) transfer(ctx context.Context, c session, dir string) error {
	staged := filepath.Join(dir, reportsModule)
	if err := os.Mkdir(staged, 0o700); err != nil {
		return err
	}
	reports, err := stage(s.Reports, staged, c.hosts)
	if err != nil {
		s.Log.Warn("not offered: " + err.Error())
	}
	root := os.Geteuid() == 0
	if root { // anybody may add a name, and change none of another's
		if err := os.Chmod(staged, 0o777|os.ModeSticky); err != nil {
			return err
		}
	}
	m := module{dir: dir, share: s.Share, root: root, timeout: s.Timeout}
	for name, text := range map[string]string{configName: m.config(), namesName: patterns(allowed(reports, c.hosts))} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	failed := s.rsync(ctx, c, dir)
	made, err := deliver(staged, s.Reports, reports, c.hosts)
	s.tell(c.from, readRequest(dir), made, failed, filepath.Join(dir, logName))
	if r := readRequest(dir); r.module == reportsModule && r.reading && s.Asked != nil {
		s.Asked(ctx)
	}
	return err
}

// rsync runs the daemon on a connection. A client that does not say what it wants
// in time is cut.
func (s *Server) rsync(ctx context.Context, c session, dir string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(s.Handshake, func() {
		if readRequest(dir).module == "" {
			cancel(fmt.Errorf("cut: it has not said what it wants within %v", s.Handshake))
		}
	})
	defer silent.Stop()
	socket, wait, err := c.open()
	if err != nil {
		return err
	}
	err = process.Run(ctx, process.Command{
		Args: []string{"rsync", "--daemon", "--config=" + filepath.Join(dir, configName)},
		Dir:  "/", Env: []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH")}, Stdin: socket,
	})
	socket.Close()
	wait()
	return err
}

// open is the socket that rsync gets; wait returns when the last byte of rsync
// has gone to the client.
func (c session) open() (socket *os.File, wait func(), err error) {
	if c.tunnel {
		return tunnel(c.conn)
	}
	socket, err = c.socket()
	return socket, func() {}, err
}

// request is what a client wants, as rsync tells the command before a transfer.
type request struct {
	module, path string
	reading      bool // whether files go to the client
}

func readRequest(dir string) (r request) {
	text, err := os.ReadFile(filepath.Join(dir, requestName))
	if err != nil {
		return r
	}
	for _, entry := range bytes.Split(text, []byte{0}) {
		key, value, _ := strings.Cut(string(entry), "=")
		switch {
		case key == "RSYNC_MODULE_NAME":
			r.module = value
		case key == "RSYNC_REQUEST":
			r.path = value
		case strings.HasPrefix(key, "RSYNC_ARG") && value == "--sender":
			r.reading = true
		}
	}
	return r
}

// noMatch is rsync's exit status where some of what was asked for is not there,
// as each time that a client looks for a report before there is one.
const noMatch = 23

// tell logs how a connection has ended.
func (s *Server) tell(from string, r request, made []string, failed error, log string) {
	what := "listed what is served"
	switch {
	case r.module != "" && r.reading:
		what = fmt.Sprintf("fetched %q", r.path)
	case r.module != "":
		what = fmt.Sprintf("wrote to %q", r.path)
	case failed != nil:
		what = "fetched nothing"
	}
	var exit *process.ExitError
	looking := r.module == reportsModule && r.reading
	switch {
	case errors.As(failed, &exit) && exit.Cause != nil:
		s.Log.Warn(fmt.Sprintf("%s: %s: %v", from, what, exit.Cause))
	case looking && (failed == nil || exit != nil && exit.Code == noMatch):
		s.Log.Debug(fmt.Sprintf("%s: looked for %q", from, r.path))
	case failed != nil:
		s.Log.Warn(fmt.Sprintf("%s: %s: %v%s", from, what, failed, lastWords(log)))
	default:
		s.Log.Info(from + ": " + what)
	}
	for _, m := range made {
		s.Log.Info(from + ": says " + m)
	}
}

// lastWords are the errors in rsync's log.
func lastWords(log string) string {
	text, err := os.ReadFile(log)
	if err != nil {
		return ""
	}
	const most = 5
	var words []string
	for line := range strings.Lines(string(text)) {
		_, message, ok := strings.Cut(line, "] ") // date, time and [pid]
		if message = strings.TrimSpace(message); ok && (strings.HasPrefix(message, "rsync") && strings.Contains(message, ":") || strings.Contains(message, "ERROR")) {
			words = append(words, message)
		}
	}
	if len(words) == 0 {
		return ""
	}
	return ": " + strings.Join(words[:min(len(words), most)], "; ")
}

// count notes that a client is served, or no longer is, and says so.
func (s *Server) count(client string, n int) {
	s.mu.Lock()
	s.served[client] += n
	if s.served[client] == 0 {
		delete(s.served, client)
	}
	s.mu.Unlock()
	s.say()
}

func (s *Server) say() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.served) == 0 {
		s.Status("waiting for " + named(s.Hosts))
		return
	}
	var clients []string
	for c := range s.served {
		clients = append(clients, c)
	}
	slices.Sort(clients)
	s.Status("serving " + strings.Join(clients, ", "))
}
