package mtls_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand"
	"net"
	"sync"
	"testing"

	"b1000/internal/mtls"
	"b1000/internal/mtls/mtlstest"
)

// connected are the two ends of a connection that much is to go by.
func connected(t *testing.T) (client, server *mtls.Conn) {
	t.Helper()
	ca := mtlstest.New(t, "our authority")
	there, here := open(t, files(t, ca, ca.File, "web1", nil)), open(t, files(t, ca, ca.File, "backup", nil))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	shaken := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			server = mtls.Accept(conn, there.Server([]string{"backup"}))
			err = server.Handshake()
		}
		shaken <- err
	}()
	client, err = mtls.Dial(t.Context(), here.Client("web1"), l.Addr().String())
	if err := errors.Join(err, <-shaken); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	client.ReadMuch()
	server.ReadMuch()
	return client, server
}

// random are bytes that are the same for the same seed.
func random(seed int64, n int) []byte {
	b := make([]byte, n)
	rand.New(rand.NewSource(seed)).Read(b)
	return b
}

func TestMuchGoesBothWaysAtOnce(t *testing.T) {
	client, server := connected(t)
	const size = 24<<20 + 12345
	up, down := random(1, size), random(2, size)
	var wg sync.WaitGroup
	send := func(c *mtls.Conn, b []byte, most int) {
		for len(b) > 0 { // from a byte to more than a buffer at once
			n := min(len(b), 1+rand.Intn(most))
			if _, err := c.Write(b[:n]); err != nil {
				t.Error(err)
				return
			}
			b = b[n:]
		}
		if err := c.CloseWrite(); err != nil {
			t.Error(err)
		}
	}
	receive := func(c *mtls.Conn, want []byte) {
		var got bytes.Buffer
		if _, err := mtls.Copy(&got, c); err != nil || !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%d bytes, %v; want %d bytes", got.Len(), err, len(want))
		}
	}
	wg.Go(func() { send(client, up, 900_000) })
	wg.Go(func() { send(server, down, 40_000) })
	wg.Go(func() { receive(server, up) })
	wg.Go(func() { receive(client, down) })
	wg.Wait()
}

// What has come is given before more is waited for, and what is written goes out
// by itself: each answer is given only when the whole question is there.
func TestNothingWaitsForMore(t *testing.T) {
	client, server := connected(t)
	sizes := []int{1, 16 << 10, 16<<10 + 1, 100, 256 << 10, 5, 300_000, 70_000}
	done := make(chan error, 1)
	go func() {
		for i, n := range sizes {
			got := make([]byte, n)
			for have := 0; have < n; {
				b := make([]byte, 512<<10) // more than ever comes
				m, err := server.Read(b)
				if err != nil {
					done <- err
					return
				}
				have += copy(got[have:], b[:m])
			}
			if !bytes.Equal(got, random(int64(i), n)) {
				t.Errorf("question %d of %d bytes is not what was sent", i, n)
			}
			if _, err := server.Write([]byte{byte(i)}); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for i, n := range sizes {
		if _, err := client.Write(random(int64(i), n)); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 1)
		if _, err := io.ReadFull(client, answer); err != nil || answer[0] != byte(i) {
			t.Fatalf("answer %v, %v; want %d", answer, err, i)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestCloseEndsAWriteThatNobodyReads(t *testing.T) {
	client, _ := connected(t)
	begun, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		b := random(3, 256<<10)
		for i := 0; ; i++ {
			if i == 1 {
				close(begun)
			}
			if _, err := client.Write(b); err != nil {
				ended <- err
				return
			}
		}
	}()
	<-begun
	client.Close()
	if err := <-ended; err == nil {
		t.Error("no error")
	}
}

// A connection that is cut in the middle of a record is an error, not the end.
func TestACutIsAnError(t *testing.T) {
	client, server := connected(t)
	go func() {
		_, _ = client.Write(random(4, 1<<20))
		_, _ = client.NetConn().Write([]byte{23, 3, 3, 64, 0, 1, 2, 3}) // of 16 KiB of data these are the first
		client.NetConn().Close()
	}()
	if _, err := mtls.Copy(io.Discard, server); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}

func TestDialGivesUpWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // and never speaks
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ca := mtlstest.New(t, "our authority")
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	go cancel(why)
	if _, err := mtls.Dial(ctx, open(t, files(t, ca, ca.File, "backup", nil)).Client("web1"), l.Addr().String()); err == nil {
		t.Error("no error")
	}
}
