package storage

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"b1000/internal/report"
	"b1000/internal/store"
)

// plainModule is what a stock rsync sees: the client's backups, read-only.
const plainModule = "backups"

// plain serves a stock rsync by TLS, such as rsync-ssl(1).
func (s *Server) plain(p *peer) {
	defer p.Close()
	who, err := s.clients.find(p.cert)
	if err != nil {
		s.refuse(p.RemoteAddr().String(), err)
		return
	}
	if !who.may("list") || !who.may("restore") {
		s.refuse(who.name, errors.New("rsync needs list and restore in allow"))
		p.refuse(fmt.Sprintf("list and restore are not both allowed to client %s", who.name), s.Handshake)
		return
	}
	t := &transfer{dir: s.root(who), module: module{name: plainModule, only: s.complete(who)}, done: func() {}}
	if _, err := os.Stat(t.dir); err != nil {
		p.refuse(fmt.Sprintf("client %s has no backups yet", who.name), s.Handshake)
		return
	}
	if err := s.place(s.ctx, who, t); err != nil {
		p.refuse(fmt.Sprintf("%v; try again later", err), s.Handshake)
		return
	}
	defer s.finish(t, nil)
	if t.enter() != nil {
		return
	}
	defer t.leave()
	s.Log.Info(fmt.Sprintf("%s: reads by a stock rsync", who.name))
	if err := s.rsync(t.ctx, p, t); err != nil {
		s.Log.Warn(fmt.Sprintf("%s: stock rsync: %v", who.name, err))
	}
}

// refuse tells a stock rsync why it is not served. A daemon speaks when it is
// asked: a client that still has something to send when the connection ends would
// only say that its pipe is broken.
func (p *peer) refuse(why string, limit time.Duration) {
	_ = p.SetDeadline(time.Now().Add(limit))
	if _, err := fmt.Fprint(p, "@RSYNCD: 31.0\n"); err != nil {
		return // it has gone
	}
	const longest = 4 << 10 // of what it says of itself and of the module that it wants
	said := bufio.NewReader(io.LimitReader(p, longest))
	for range 2 {
		if _, err := said.ReadString('\n'); err != nil {
			break
		}
	}
	if _, err := fmt.Fprintf(p, "@ERROR: %s\n", why); err == nil {
		_ = p.CloseWrite()
		lastWord(p.NetConn())
	}
}

// lastWord lets a client read what was written to it last. What it has sent and
// nobody has read would make the system reset the connection when it is closed,
// and the client would see that instead.
func lastWord(conn net.Conn) {
	endWriting(conn)
	const (
		wait = 2 * time.Second
		most = 1 << 20
	)
	_ = conn.SetReadDeadline(time.Now().Add(wait))
	_, _ = io.CopyN(io.Discard, conn, most) // ends when the client closes its end
}

// complete are the patterns that let a stock rsync see complete backups, and
// nothing that is half made.
func (s *Server) complete(c *client) (patterns []string) {
	st, err := s.open(c)
	if err != nil {
		return nil
	}
	list, _ := st.List(context.Background(), "") // what can be read is what can be fetched
	seen := map[string]bool{}
	for _, e := range list {
		if e.State == report.Incomplete {
			continue
		}
		for _, dir := range parents(e) {
			if !seen[dir] {
				seen[dir] = true
				patterns = append(patterns, "/"+dir+"/")
			}
		}
		patterns = append(patterns, "/"+e.Dir+"/***")
	}
	return patterns
}

func parents(e store.Entry) []string {
	if e.Day == "" {
		return []string{e.Job}
	}
	return []string{e.Job, filepath.Join(e.Job, e.Day)}
}
