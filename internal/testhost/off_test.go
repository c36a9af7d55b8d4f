package testhost

import "context"

// MustBeOff fails the test if a command can be run.
func (h *Host) MustBeOff() {
	h.tb.Helper()
	if _, _, err := h.Run(context.Background(), "true"); err == nil {
		h.tb.Fatal("a host that is off runs commands")
	}
}
