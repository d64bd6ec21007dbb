package etcdtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
)

// maxTempBase leaves room for a socket's name under the ~104 bytes that the
// path of a unix socket may have.
const maxTempBase = 64

// home is where a cluster lives on disk.
type home struct {
	temp string // for sockets, and for the data unless they are to be kept
	data string
	lock *fileutil.LockedFile // nil unless the data are to be kept
}

func openHome(dataDir string) (*home, error) {
	temp, err := os.MkdirTemp(tempBase(), "etcdtest-")
	if err != nil {
		return nil, fmt.Errorf("make a temporary directory: %w", err)
	}
	h := &home{temp: temp, data: temp}
	if dataDir == "" {
		return h, nil
	}
	if err := h.keepIn(dataDir); err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

// tempBase is the system's temporary directory if sockets can lie there: with
// an absolute path that is short and the same in a URL.
func tempBase() string {
	base, err := filepath.Abs(os.TempDir())
	if err != nil || len(base) > maxTempBase || unix(base).url() != "unix://"+base {
		return "/tmp"
	}
	return base
}

// keepIn has the data kept in dir. The lock is taken here because etcd would
// wait for its own without end and without a word.
func (h *home) keepIn(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("data directory %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	lock, err := fileutil.TryLockFile(filepath.Join(dir, "lock"), os.O_WRONLY|os.O_CREATE, 0o600)
	if errors.Is(err, fileutil.ErrLocked) {
		return fmt.Errorf("data directory %s is used by another cluster: %w", dir, err)
	}
	if err != nil {
		return fmt.Errorf("lock the data directory: %w", err)
	}
	h.data, h.lock = dir, lock
	return nil
}

func (h *home) member(name string) string { return filepath.Join(h.data, name) }
func (h *home) peers() string             { return filepath.Join(h.data, "peers") }

// tag is unlike that of any other cluster in this process.
func (h *home) tag() string { return filepath.Base(h.temp) }

func (h *home) socket(name string) address {
	return unix(filepath.Join(h.temp, name))
}

// close gives the data directory free and removes what is temporary.
func (h *home) close() error {
	var err error
	if h.lock != nil {
		err = h.lock.Close()
	}
	return errors.Join(err, os.RemoveAll(h.temp))
}
