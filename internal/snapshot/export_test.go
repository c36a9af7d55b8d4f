package snapshot

import (
	"errors"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// Known is how many files are remembered.
func (b *Bare) Known() int { return len(b.old) }

// Fresh lets files be remembered that have changed a moment ago.
func (b *Bare) Fresh() { b.late = time.Now().Add(time.Minute).Unix() }

// TrustFileSystem has the file system of a directory taken for one whose ctime
// tells of every change.
func TrustFileSystem(dir string) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		panic(err)
	}
	ctimeTells = append(ctimeTells, int64(fs.Type))
}

// AnswerWhileBusy gives an answer while another helper is at work, until over is
// closed.
func AnswerWhileBusy(conn io.ReadWriter, answer []byte, over <-chan struct{}) error {
	a := &acceptor{run: &run{}, frames: newFrames(conn)}
	a.queued.Store(1)
	err := a.frames.send(frameAnswer, answer)
	a.sendLate(over)
	return errors.Join(err, a.failure())
}
