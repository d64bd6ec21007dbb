package etcdtest

import "time"

// pollPause is the pause between two checks of something that gives no notice.
const pollPause = 5 * time.Millisecond

// poll calls check until it returns nil or the bound is over, and returns the last
// result.
func poll(bound time.Duration, check func() error) error {
	end := time.Now().Add(bound)
	for {
		err := check()
		if err == nil || time.Now().After(end) {
			return err
		}
		time.Sleep(pollPause)
	}
}
