package snapshot

import (
	"bufio"
	"io"
	"sync"
)

// restList writes the list for rsync. An error is kept until flush.
type restList struct {
	mu sync.Mutex
	w  *bufio.Writer
}

func newRestList(w io.Writer) *restList { return &restList{w: bufio.NewWriterSize(w, 64<<10)} }

// put adds the entry name of the directory dir, both inside the snapshot.
// An empty dir is the target itself, an empty name the directory itself.
func (l *restList) put(inc *include, dir, name []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.w.WriteString(inc.mark)
	l.w.Write(dir)
	if len(dir) > 0 && len(name) > 0 {
		l.w.WriteByte('/')
	}
	l.w.Write(name)
	l.w.WriteByte(0)
}

func (l *restList) flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Flush()
}
