package wire

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Switch asks the storage server at the other end of conn to go on with another
// protocol, Upgrade or UpgradeLink, for the transfer at path, and returns what to
// read from then on. limit is for the whole exchange.
func Switch(conn net.Conn, address, path, protocol string, limit time.Duration) (io.Reader, error) {
	_ = conn.SetDeadline(time.Now().Add(limit))
	defer func() { _ = conn.SetDeadline(time.Time{}) }()
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", path, address, protocol); err != nil {
		return nil, err
	}
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, &http.Request{Method: http.MethodGet})
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusSwitchingProtocols {
		var fault Fault
		if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&fault); err != nil || fault.Fault == "" {
			return nil, fmt.Errorf("answers %s, as no storage server of ours would", res.Status)
		}
		return nil, errors.New("the storage server says: " + fault.Fault)
	}
	return io.MultiReader(io.LimitReader(r, int64(r.Buffered())), conn), nil
}
