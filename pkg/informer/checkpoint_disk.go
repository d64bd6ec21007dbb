package informer

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// disk is what checkpoints need of the file system.
type disk interface {
	create(path string) (diskFile, error) // the file must not exist
	rename(from, to string) error
	remove(path string) error
	syncDir(path string) error
}

type diskFile interface {
	io.WriteCloser
	Sync() error
}

// replaceFile replaces a file atomically: whenever the process or the machine stops, the
// path has either the old content or all of the new. It returns the new size.
func replaceFile(d disk, path string, write func(*checkpointWriter) error) (n int64, err error) {
	aside := path + ".tmp"
	if err := d.remove(aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	f, err := d.create(aside)
	if err != nil {
		return 0, err
	}
	n, err = fill(f, write)
	if err = errors.Join(err, f.Close()); err == nil {
		err = d.rename(aside, path)
	}
	if err != nil {
		_ = d.remove(aside) // the next attempt removes it, too
		return 0, err
	}
	return n, d.syncDir(filepath.Dir(path))
}

func fill(f diskFile, write func(*checkpointWriter) error) (int64, error) {
	buffer := bufio.NewWriterSize(f, 256<<10)
	w := newCheckpointWriter(buffer)
	if err := write(w); err != nil {
		return 0, err
	}
	if err := buffer.Flush(); err != nil {
		return 0, err
	}
	return w.n, f.Sync()
}

// osDisk is the file system of the operating system.
type osDisk struct{}

func (osDisk) create(path string) (diskFile, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

func (osDisk) rename(from, to string) error { return os.Rename(from, to) }
func (osDisk) remove(path string) error     { return os.Remove(path) }

func (osDisk) syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("sync directory %s: %w", path, err)
	}
	return nil
}
