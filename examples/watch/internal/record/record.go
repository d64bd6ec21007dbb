// Package record keeps a program's position on disk, so that the next run continues
// there.
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
	"github.com/homeostat/homeostat/pkg/etcd"
)

// version is the version of the file's format.
const version = 1

// Record is the content of the file.
type Record struct {
	// Cluster is the id of the etcd cluster.
	Cluster uint64
	// Range is the range of keys that the program follows.
	Range etcd.Range
	// Position is the position up to which it has printed all changes.
	Position stream.Position
}

// file is the record in JSON. Keys may be any bytes.
type file struct {
	Version int    `json:"version"`
	Cluster string `json:"cluster"`
	Start   []byte `json:"rangeStart"`
	End     []byte `json:"rangeEnd"`
	// Revision and Sentinel are the position.
	Revision int64            `json:"revision"`
	Sentinel *stream.Sentinel `json:"sentinel,omitempty"`
}

// Write replaces the record in a file. After a crash the file has either the whole
// old record or the whole new one.
func Write(path string, r Record) error {
	body, err := json.Marshal(file{
		Version: version, Cluster: fmt.Sprintf("%x", r.Cluster), Start: []byte(r.Range.Start), End: []byte(r.Range.End),
		Revision: r.Position.Revision, Sentinel: r.Position.Sentinel,
	})
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
	// The rename is durable only after the directory is synced. Some file systems
	// cannot do that.
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
	return nil
}

// Read returns the record in a file, or false if there is no file.
func Read(path string) (Record, bool, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Record{}, false, nil
	}
	if err == nil && !info.Mode().IsRegular() { // a pipe has no end
		err = fmt.Errorf("%s is not a regular file", path)
	}
	var body []byte
	if err == nil {
		body, err = os.ReadFile(path)
	}
	if err != nil {
		return Record{}, false, fmt.Errorf("read the record: %w", err)
	}
	r, err := parse(body)
	if err != nil {
		return Record{}, false, fmt.Errorf("%s is not a record of this program: %w: remove it to start over", path, err)
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
	r := Record{Range: etcd.Range{Start: string(f.Start), End: string(f.End)}, Position: stream.Position{Revision: f.Revision, Sentinel: f.Sentinel}}
	if _, err := fmt.Sscanf(f.Cluster, "%x", &r.Cluster); err != nil {
		return Record{}, fmt.Errorf("cluster %q: %w", f.Cluster, err)
	}
	if r.Position.Revision <= 0 {
		return Record{}, fmt.Errorf("its revision is %d", r.Position.Revision)
	}
	return r, nil
}

// Fits returns an error if a program cannot continue from the record: it belongs to
// another cluster or other keys, or its revision is in the future.
func (r Record) Fits(cluster uint64, keys etcd.Range, now int64) error {
	switch {
	case r.Cluster != cluster:
		return fmt.Errorf("belongs to cluster %x, and cluster %x answers", r.Cluster, cluster)
	case r.Range != keys:
		return fmt.Errorf("is for the keys from %q to %q, not from %q to %q", r.Range.Start, r.Range.End, keys.Start, keys.End)
	case r.Position.Revision > now:
		return fmt.Errorf("is at revision %d, and etcd only at %d: etcd was wiped or restored", r.Position.Revision, now)
	}
	return nil
}
