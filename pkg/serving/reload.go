package serving

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/homeostat/homeostat/pkg/internal/regular"
)

// reloadInterval is how long a value is used before its files are looked at again.
const reloadInterval = 10 * time.Second

// reloaded is a value that is read from files, and again when they change. It starts no
// goroutine: whoever gets the value looks at the files, if nobody did for reloadInterval.
type reloaded[T any] struct {
	what  string // names the value in errors
	files []string
	parse func(contents [][]byte) (T, error)
	clock clock.PassiveClock
	log   logr.Logger

	mu       sync.Mutex // guards the fields below
	value    T
	contents [][]byte // that value was made of
	looking  bool     // a goroutine reads the files
	lookedAt time.Time
	fault    string // why the files cannot be used; "" if they can
}

// load reads the value for the first time.
func (r *reloaded[T]) load() (err error) {
	r.value, r.contents, err = r.read(nil)
	r.lookedAt = r.clock.Now()
	return err
}

// get returns the value. While the files are wrong, that is the last one that was right.
func (r *reloaded[T]) get() T {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.looking || r.clock.Since(r.lookedAt) < reloadInterval {
		return r.value
	}
	r.looking = true
	known := r.contents
	r.mu.Unlock() // a file system may be slow
	value, contents, err := r.read(known)
	r.mu.Lock()
	r.looking, r.lookedAt = false, r.clock.Now()
	r.note(err)
	if err == nil && contents != nil {
		r.value, r.contents = value, contents
		r.log.Info("read changed files", "what", r.what, "files", r.files)
	}
	return r.value
}

// note logs an error that is new. r.mu is held.
func (r *reloaded[T]) note(err error) {
	fault := ""
	if err != nil {
		fault = err.Error()
	}
	if fault != "" && fault != r.fault {
		r.log.Error(err, "changed files cannot be used: the last good content stays in use", "what", r.what)
	}
	r.fault = fault
}

// read returns the value of the files, and their contents. The contents are nil if they
// are those that are known.
func (r *reloaded[T]) read(known [][]byte) (value T, contents [][]byte, err error) {
	for _, file := range r.files {
		content, err := regular.ReadFile(file)
		if err != nil {
			return value, nil, fmt.Errorf("%s: %w", r.what, err)
		}
		contents = append(contents, content)
	}
	if slices.EqualFunc(contents, known, bytes.Equal) {
		return value, nil, nil
	}
	if value, err = r.parse(contents); err != nil {
		return value, nil, fmt.Errorf("%s in %v: %w", r.what, r.files, err)
	}
	return value, contents, nil
}
