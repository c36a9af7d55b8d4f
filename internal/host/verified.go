package host

import (
	"time"

	"b1000/internal/metrics"
	"b1000/internal/state"
)

// SaveVerified remembers what verifying a copy has found, and writes it into the
// metrics, unless a run of that job is on: that writes them itself.
func (h *Host) SaveVerified(job, part, destination string, v state.Verified) error {
	if err := h.State.SaveVerified(job, part, destination, v); err != nil {
		return err
	}
	dir, ok := h.metricsDir()
	j := h.Config.Job(job)
	if !ok || j == nil {
		return nil
	}
	lock, err := h.State.Lock(job, part, time.Now())
	if err != nil { // somebody runs it
		return nil
	}
	defer lock.Release()
	m := &measured{memory: memory{h.State}, host: h, dir: dir, ages: map[string]age{}}
	return dir.WriteJob(m.standing(j, part, measure{pruned: map[string]*metrics.Pruned{}}))
}
