package events

// Resting is how many Events were written of late, and are noted as written.
func Resting(r *Recorder) int {
	r.table.mu.Lock()
	defer r.table.mu.Unlock()
	return r.table.resting.Len()
}
