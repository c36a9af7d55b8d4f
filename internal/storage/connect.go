package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"b1000/internal/mtls"
	"b1000/internal/wire"
)

// connectLimit is how long a connection and its certificates may take.
const connectLimit = 20 * time.Second

// Connect is the client's end of a transfer, whose path is given: it connects to
// a storage server, and copies what it reads from in there and what comes to out.
// rsync runs it as its remote shell (mtls.ConnectCommand).
func Connect(ctx context.Context, id *mtls.Identity, host, port, path string, in io.Reader, out io.Writer) error {
	address := net.JoinHostPort(host, port)
	dialing, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	conn, err := mtls.Dial(dialing, id.Client(host), address)
	if err != nil {
		return fmt.Errorf("%s: %w", address, mtls.Explain(err))
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	first, err := wire.Switch(conn, address, path, wire.Upgrade, connectLimit)
	if err != nil {
		return fmt.Errorf("%s: %w", address, mtls.Explain(err))
	}
	if err := mtls.Shell(conn, first, in, out); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("%s: %w", address, mtls.Explain(err))
	}
	return context.Cause(ctx)
}
