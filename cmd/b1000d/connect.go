package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"b1000/internal/mtls"
	"b1000/internal/passive"
	"b1000/internal/storage"
)

// errCut is wrapped by errors of a connection that could not be made or broke.
var errCut = errors.New("connection")

// connect is what rsync runs to reach a passive job or a storage server by TLS;
// see mtls.ConnectCommand. It is not for people: "connect CERT KEY CA HOST PORT
// [TRANSFER] -- …", and rsync's own words behind that.
func (p program) connect(ctx context.Context, args []string) error {
	if end := slices.Index(args, "--"); end >= 0 {
		args = args[:end]
	}
	const wanted = 5
	if len(args) != wanted && len(args) != wanted+1 {
		return fmt.Errorf("%w: connect takes CERT KEY CA HOST PORT [TRANSFER]", errUsage)
	}
	id, err := mtls.Open(mtls.Files{Cert: args[0], Key: args[1], CA: args[2]}, nil)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if len(args) == wanted {
		err = passive.Connect(ctx, id, args[3], args[4], p.stdin, p.stdout)
	} else {
		err = storage.Connect(ctx, id, args[3], args[4], args[5], p.stdin, p.stdout)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errCut, err)
	}
	return nil
}
