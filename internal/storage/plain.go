package storage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

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
		s.Log.Warn(fmt.Sprintf("%v: refused: %v", p.RemoteAddr(), err))
		return
	}
	if !who.may("list") || !who.may("restore") {
		s.Log.Warn(fmt.Sprintf("%s: refused: rsync needs list and restore in allow", who.name))
		_, _ = fmt.Fprintf(p, "@RSYNCD: 31.0\n@ERROR: list and restore are not both allowed to client %s\n", who.name)
		return
	}
	t := &transfer{dir: s.root(who), module: module{name: plainModule, only: s.complete(who)}, done: func() {}}
	if _, err := os.Stat(t.dir); err != nil {
		_, _ = fmt.Fprintf(p, "@RSYNCD: 31.0\n@ERROR: client %s has no backups yet\n", who.name)
		return
	}
	if err := s.place(s.ctx, who, t); err != nil {
		_, _ = fmt.Fprintf(p, "@RSYNCD: 31.0\n@ERROR: %v; try again later\n", err)
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
