package events

// Cooling returns how many Events are recorded as written in the last 10 seconds.
func Cooling(r *Recorder) int {
	r.table.mu.Lock()
	defer r.table.mu.Unlock()
	return r.table.cooling.Len()
}
