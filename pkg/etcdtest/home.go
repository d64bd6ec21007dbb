package etcdtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/client/pkg/v3/fileutil"
)

// maxTempBase leaves room for a socket's name within the limit of about 104 bytes for
// the path of a unix socket.
const maxTempBase = 64

// home holds the directories of a cluster.
type home struct {
	temp string // for sockets, and for data that are not kept
	data string
	lock *fileutil.LockedFile // nil unless the data are kept
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

// tempBase returns the system's temporary directory, or /tmp if sockets cannot lie there:
// their absolute path must be short, and must not need escapes in a URL.
func tempBase() string {
	base, err := filepath.Abs(os.TempDir())
	if err != nil || len(base) > maxTempBase || unix(base).url() != "unix://"+base {
		return "/tmp"
	}
	return base
}

// keepIn sets the directory that keeps the data, and locks it. etcd has a lock too, but it
// would wait for it silently and without end.
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

// tag is unique to the cluster within this process.
func (h *home) tag() string { return filepath.Base(h.temp) }

func (h *home) socket(name string) address {
	return unix(filepath.Join(h.temp, name))
}

// close unlocks the data directory and removes the temporary one.
func (h *home) close() error {
	var err error
	if h.lock != nil {
		err = h.lock.Close()
	}
	return errors.Join(err, os.RemoveAll(h.temp))
}
