package host

import (
	"os"
	"time"

	"b1000/internal/metrics"
	"b1000/internal/state"
	"b1000/internal/store"
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

// KnownDamage is what verifying has found damaged in the copy of a backup at a
// destination, as far as this host knows: nothing where it never did so.
func (h *Host) KnownDamage(b Backup, destination string) (v state.Verified, known bool) {
	if b.Manifest == nil { // nor can it be verified
		return v, false
	}
	part, ours := h.Part(store.KeyOf(b.Manifest))
	if _, err := os.Stat(h.Config.Global.StatusDir); !ours || err != nil {
		return v, false
	}
	if h.State == nil && h.OpenState() != nil {
		h.State = nil
		return v, false
	}
	last, found, err := h.State.Last(b.Job, part)
	if err != nil || !found {
		return v, false
	}
	v = last.Verified[destination]
	return v, v.ID == b.ID && v.Damaged > 0
}
