package etcdtest

import "time"

// pollPause is how long to wait between two looks at something that sends no
// word of its own.
const pollPause = 5 * time.Millisecond

// poll calls check until it returns nil, or until the bound is over; then it
// returns what check said last.
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
