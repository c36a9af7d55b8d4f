package main

import (
	"context"
	"fmt"

	"b1000/internal/mtls"
	"b1000/internal/passive"
	"b1000/internal/storage"
)

// connect is what rsync runs to reach a passive job or a storage server by TLS;
// see mtls.ConnectCommand. It is not for people: "connect CERT KEY CA HOST PORT
// [TRANSFER]".
func (p program) connect(ctx context.Context, args []string) error {
	const wanted = 5
	if len(args) != wanted && len(args) != wanted+1 {
		return fmt.Errorf("%w: connect takes CERT KEY CA HOST PORT [TRANSFER]", errUsage)
	}
	id, err := mtls.Open(mtls.Files{Cert: args[0], Key: args[1], CA: args[2]}, nil)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if len(args) == wanted {
		return passive.Connect(ctx, id, args[3], args[4], p.stdin, p.stdout)
	}
	return storage.Connect(ctx, id, args[3], args[4], args[5], p.stdin, p.stdout)
}
