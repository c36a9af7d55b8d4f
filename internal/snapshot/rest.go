package snapshot

import (
	"bufio"
	"fmt"
	"io"
	"sync"
)

// restList writes the list for rsync. An error is kept until flush.
type restList struct {
	mu   sync.Mutex
	w    *bufio.Writer
	long string // the first entry that is too long for a list
}

// longest is the longest entry that rsync reads from a list without a word
// about the rest of it (rsync 3.5.0: MAXPATHLEN - 2).
const longest = 4094

func newRestList(w io.Writer) *restList { return &restList{w: bufio.NewWriterSize(w, 64<<10)} }

// put adds the entry name of the directory dir, both inside the snapshot.
// An empty dir is the target itself, an empty name the directory itself.
func (l *restList) put(inc *include, dir, name []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(inc.mark)+len(dir)+1+len(name) > longest && l.long == "" {
		l.long = string(dir) + "/" + string(name)
	}
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
	if l.long != "" {
		return fmt.Errorf("the path of …%s is longer than the %d bytes that rsync takes in a list", l.long[max(0, len(l.long)-60):], longest)
	}
	return l.w.Flush()
}
