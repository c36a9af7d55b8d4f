package storage

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"b1000/internal/mtls"
	"b1000/internal/wire"
)

// connectLimit is how long a connection and its certificates may take.
const connectLimit = 20 * time.Second

// Connect is the client's end of a transfer, whose path is given: it connects to
// a storage server, and copies what it reads from in there and what comes to out.
// rsync runs it as RSYNC_CONNECT_PROG (rsync(1)).
func Connect(ctx context.Context, id *mtls.Identity, host, port, path string, in io.Reader, out io.Writer) error {
	address := net.JoinHostPort(host, port)
	dialing, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	d := tls.Dialer{Config: id.Client(host)}
	conn, err := d.DialContext(dialing, "tcp", address)
	if err != nil {
		return fmt.Errorf("%s: %w", address, mtls.Explain(err))
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	first, err := upgrade(conn, address, path)
	if err != nil {
		return fmt.Errorf("%s: %w", address, mtls.Explain(err))
	}
	go func() {
		if _, err := copyAll(conn, in); err == nil {
			endWriting(conn)
		}
	}()
	if _, err := copyAll(out, first); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("%s: %w", address, mtls.Explain(err))
	}
	return context.Cause(ctx)
}

// upgrade asks for the transfer, and returns what to read from.
func upgrade(conn net.Conn, address, path string) (io.Reader, error) {
	_ = conn.SetDeadline(time.Now().Add(connectLimit))
	defer func() { _ = conn.SetDeadline(time.Time{}) }()
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", path, address, wire.Upgrade); err != nil {
		return nil, err
	}
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, &http.Request{Method: http.MethodGet})
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusSwitchingProtocols {
		var fault wire.Fault
		if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&fault); err != nil || fault.Fault == "" {
			return nil, fmt.Errorf("answers %s, as no storage server of ours would", res.Status)
		}
		return nil, errors.New("the storage server says: " + fault.Fault)
	}
	return io.MultiReader(io.LimitReader(r, int64(r.Buffered())), conn), nil
}
