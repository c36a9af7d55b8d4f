package storage

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sys/unix"
)

// space is how much the file system below a path holds.
type space struct{ Total, Free int64 }

func spaceOf(path string) (space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return space{}, fmt.Errorf("%s: %w", path, err)
	}
	return space{Total: int64(st.Blocks) * st.Bsize, Free: int64(st.Bavail) * st.Bsize}, nil
}

// tight says why nothing more may be written to the disk; nil where it may.
func (s *Server) tight() error {
	now, err := spaceOf(s.Path)
	if err != nil {
		return err
	}
	if least := s.MinFree.Of(now.Total); now.Free < least {
		return &refusal{status: http.StatusInsufficientStorage,
			text: fmt.Sprintf("the server's disk has %s left, and min_free keeps %s of it free; make room there", sizeText(now.Free), sizeText(least))}
	}
	return nil
}

// watchEvery is how often transfers are looked after.
const watchEvery = time.Second

// watch cuts what must not go on: uploads when the disk is about to be full, or
// when a client is over its quota, and whatever belongs to a client that is not
// admitted any more.
func (s *Server) watch() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	rest := map[string]time.Time{} // when a client's usage is to be measured again
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		full := s.tight()
		quota := map[string]error{}
		for _, t := range s.running() {
			c := s.clients.named(t.client.name)
			switch {
			case c == nil || c.peer != t.client.peer:
				s.cut(t, fmt.Errorf("client %s is not admitted any more", t.client.name))
				continue
			case t.backup == nil:
				continue
			case full != nil:
				s.cut(t, full)
				continue
			}
			if c.quota > 0 && time.Now().After(rest[c.name]) {
				begun := time.Now()
				quota[c.name] = s.overQuota(s.ctx, c)
				// A twentieth of the time at most, however many files there are.
				rest[c.name] = time.Now().Add(max(watchEvery, 20*time.Since(begun)))
			}
			if quota[c.name] != nil {
				s.cut(t, quota[c.name])
			}
		}
	}
}

// running are the transfers that are not over.
func (s *Server) running() (list []*transfer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.transfers {
		if t.ctx.Err() == nil {
			list = append(list, t)
		}
	}
	return list
}

// cut ends a transfer. What was sent of a backup for which there is no space is
// removed: it would keep that space from others for a day.
func (s *Server) cut(t *transfer, why error) {
	s.Log.Warn(fmt.Sprintf("%s: cut: %v", t.client.name, why))
	t.cancel(why)
	s.wg.Go(func() {
		s.finish(t, why)
		var no *refusal
		if errors.As(why, &no) && no.status == http.StatusInsufficientStorage && t.backup != nil {
			s.discard(t.client, t.backup, why)
		}
	})
}

// cutIfFull cuts a transfer that has failed on a full disk, which can be sooner
// than watch looks: what it leaves would keep the space from the next.
func (s *Server) cutIfFull(t *transfer, err error) {
	if err == nil || t.backup == nil || t.ctx.Err() != nil {
		return
	}
	if full := s.tight(); full != nil {
		s.cut(t, full)
	}
}

// sizeText is a size for people.
func sizeText(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, units := float64(n), []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	at := -1
	for value >= unit && at < len(units)-1 {
		value /= unit
		at++
	}
	return fmt.Sprintf("%.1f %s", value, units[at])
}

// Share is a part of a whole: so many bytes, or so many hundredths.
type Share struct {
	Bytes   int64
	Percent int
}

// Of is the share of a whole of so many bytes.
func (f Share) Of(total int64) int64 { return f.Bytes + total/100*int64(f.Percent) }
