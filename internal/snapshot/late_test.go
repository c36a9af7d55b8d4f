package snapshot_test

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"b1000/internal/snapshot"
)

// Whoever offers waits for answers when many are open: those that there are come,
// however long one of the helpers takes for a seed.
func TestAnswersComeWhileAHelperTakesLong(t *testing.T) {
	here, there := net.Pipe()
	defer here.Close()
	over, ended := make(chan struct{}), make(chan error, 1)
	want := []byte("seven wanted")
	go func() { ended <- snapshot.AnswerWhileBusy(there, want, over) }()
	if err := here.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	const head, sum = 5, 4
	frame := make([]byte, head+len(want)+sum)
	if _, err := io.ReadFull(here, frame); err != nil {
		t.Fatal(err)
	}
	if got := frame[head : head+len(want)]; !bytes.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	close(over)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
