package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"b1000/internal/wire"
)

// verifyLimit is how long a server may read.
const verifyLimit = deleteLimit * 8

// Verify lets the server read what it has stored.
func (s *served) Verify(ctx context.Context, e Entry, read func(int)) (v Verified, err error) {
	ctx, cancel := context.WithTimeout(ctx, verifyLimit)
	defer cancel()
	res, err := s.send(ctx, request{method: http.MethodPost, path: wire.Verify, query: url.Values{"dir": {e.Dir}}})
	if err != nil {
		return v, err
	}
	defer res.Body.Close()
	answers := json.NewDecoder(res.Body)
	for told := int64(0); ; {
		var l wire.Verified
		if err := answers.Decode(&l); err != nil {
			return v, fmt.Errorf("%s: the answer breaks off: %w", s.address(), err)
		}
		if read != nil && l.Read > told {
			read(int(l.Read - told))
			told = l.Read
		}
		if !l.Last {
			continue
		}
		if l.Fault != "" {
			err = errors.New(l.Fault)
		}
		return Verified{Files: l.Files, Bytes: l.Bytes, Fresh: l.Fresh, Damaged: l.Damaged, Damage: l.Damage}, err
	}
}
