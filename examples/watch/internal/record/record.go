// Package record keeps on disk how far a program has come, so that it goes on
// there after a restart.
package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/homeostat/homeostat/examples/watch/internal/stream"
	"github.com/homeostat/homeostat/pkg/store"
)

// version is that of the file's format.
const version = 1

// Record is what is kept.
type Record struct {
	// Cluster is the id of the etcd cluster.
	Cluster uint64
	// Range is what is followed.
	Range store.Range
	// Position is how far.
	Position stream.Position
}

// file is the record as it is written. Keys may be any bytes.
type file struct {
	Version int    `json:"version"`
	Cluster string `json:"cluster"`
	Start   []byte `json:"rangeStart"`
	End     []byte `json:"rangeEnd"`
	stream.Position
}

// Write replaces the record in a file. Whatever happens meanwhile, the file has
// either the old record or the new one, whole.
func Write(path string, r Record) error {
	body, err := json.Marshal(file{version, fmt.Sprintf("%x", r.Cluster), []byte(r.Range.Start), []byte(r.Range.End), r.Position})
	if err != nil {
		return fmt.Errorf("record %s: %w", path, err)
	}
	if err := replace(path, append(body, '\n')); err != nil {
		return fmt.Errorf("write the record: %w", err)
	}
	return nil
}

func replace(path string, body []byte) (err error) {
	dir := filepath.Dir(path)
	temp, err := os.CreateTemp(dir, filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temp.Name()))
		}
	}()
	_, err = temp.Write(body)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err = os.Rename(temp.Name(), path); err != nil {
		return err
	}
	// The new name is safe only when the directory is. Not every file system
	// can do that, and then there is no more to be had.
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
	return nil
}

// Read returns the record in a file, and false when there is no file.
func Read(path string) (Record, bool, error) {
	body, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Record{}, false, nil
	}
	if err != nil {
		return Record{}, false, fmt.Errorf("read the record: %w", err)
	}
	r, err := parse(body)
	if err != nil {
		return Record{}, false, fmt.Errorf("%s is no record of this program: %w: remove it to start anew", path, err)
	}
	return r, true, nil
}

func parse(body []byte) (Record, error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	var f file
	if err := decoder.Decode(&f); err != nil {
		return Record{}, err
	}
	if f.Version != version {
		return Record{}, fmt.Errorf("its version is %d, not %d", f.Version, version)
	}
	r := Record{Range: store.Range{Start: string(f.Start), End: string(f.End)}, Position: f.Position}
	if _, err := fmt.Sscanf(f.Cluster, "%x", &r.Cluster); err != nil {
		return Record{}, fmt.Errorf("cluster %q: %w", f.Cluster, err)
	}
	if r.Position.Revision <= 0 {
		return Record{}, fmt.Errorf("its revision is %d", r.Position.Revision)
	}
	return r, nil
}

// Fits says why the record cannot be gone on from, if it cannot: it must be of
// the cluster that answered, of the same keys, and not from the future.
func (r Record) Fits(cluster uint64, keys store.Range, now int64) error {
	switch {
	case r.Cluster != cluster:
		return fmt.Errorf("is of cluster %x, and the one that answers is %x", r.Cluster, cluster)
	case r.Range != keys:
		return fmt.Errorf("is of the keys from %q to %q, and not from %q to %q", r.Range.Start, r.Range.End, keys.Start, keys.End)
	case r.Position.Revision > now:
		return fmt.Errorf("stands at revision %d, and etcd is only at %d: it was wiped or restored", r.Position.Revision, now)
	}
	return nil
}
