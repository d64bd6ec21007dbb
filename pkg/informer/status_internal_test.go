package informer

import "testing"

// No kind is unlisted, and yet the replica is not up to date.
func TestHealthyWhileCatchingUp(t *testing.T) {
	r, _ := offline(t)
	r.running, r.catchingUp = true, true
	const want = "the replica started from a checkpoint, is at revision 1, and has not caught up with etcd"
	if err := r.Healthy(0); err == nil || err.Error() != want {
		t.Errorf("healthy: %v", err)
	}
}
