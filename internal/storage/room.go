package storage

import (
	"fmt"
	"net/http"
	"time"
)

// roomLimit is how long a client waits for a place before it is told to ask
// again.
const roomLimit = 15 * time.Second

// room waits for a place among the transfers that are served at once. free gives
// it back, once.
func (s *Server) room(c *call) (free func(), err error) {
	return func() {}, nil
}

// errFull is the answer to a client for which there is no room.
func errFull(n int) error {
	return &refusal{http.StatusServiceUnavailable, fmt.Sprintf("%d transfers are being served already", n)}
}
