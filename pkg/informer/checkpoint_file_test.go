package informer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	clientv3 "go.etcd.io/etcd/client/v3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/homeostat/homeostat/pkg/store"
)

// saved returns a replica with some ConfigMaps and Deployments, and a pending
// checkpoint of it.
func saved(tb testing.TB, n int) (*Replica, *pendingCheckpoint) {
	tb.Helper()
	s, err := store.New(clientv3.NewCtxClient(tb.Context()), store.Options{Scheme: scheme.Scheme})
	if err != nil {
		tb.Fatal(err)
	}
	r := NewReplica(s, Options{})
	cms, err := For[*corev1.ConfigMap](r)
	if err != nil {
		tb.Fatal(err)
	}
	deploys, err := For[*appsv1.Deployment](r)
	if err != nil {
		tb.Fatal(err)
	}
	f := &reflector{replica: r}
	f.install(r.kindLists(), 1, epochID{cluster: 7, key: "e"}, false)
	for i := range n {
		set(cms, "default", fmt.Sprint("cm-", i), fmt.Sprint(i))
	}
	r.mu.Lock()
	d := &appsv1.Deployment{}
	d.Namespace, d.Name = "default", "d"
	deploys.kind.set("default/d", &entry{key: "default/d", obj: d, rev: 1, sum: 3, size: 4})
	r.publish(int64(n+2), deploys.kind)
	r.mu.Unlock()
	f.markEnqueued()
	c := &checkpointer{replica: r}
	return r, c.capture()
}

func fileOf(tb testing.TB, c *pendingCheckpoint) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := c.write(tb.Context(), newCheckpointWriter(&b), 3); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func read(r *Replica, file []byte) (*savedState, error) {
	return readCheckpoint(context.Background(), bytes.NewReader(file), int64(len(file)), r.kinds)
}

func TestCheckpointIsReadAsWritten(t *testing.T) {
	for _, n := range []int{0, 1, 40, 3 * objectsPerBlock} {
		r, c := saved(t, n)
		c.undecodable = map[string]undecodable{"\xff": {revision: 9, err: errors.New("bad")}}
		s, err := read(r, fileOf(t, c))
		if err != nil {
			t.Fatal(err)
		}
		if h := s.header; h.Cluster != 7 || h.Epoch != "e" || h.Revision != int64(n+2) || h.Prefix != "/registry/" || string(h.Undecodable[0].Key) != "\xff" {
			t.Errorf("header %+v", h)
		}
		for i, k := range r.kinds {
			want := c.snapshot.kind(k)
			got := s.kinds[i]
			if got.kind != k || got.objects.Len() != want.len() || got.totals.bytes != k.totals.bytes {
				t.Errorf("kind %s: %d objects, %d bytes; want %d, %d", k.prefix, got.objects.Len(), got.totals.bytes, want.len(), k.totals.bytes)
			}
			for e := range want.list(ListOptions{}) {
				is, ok := got.objects.Get(e.key)
				if !ok || is.rev != e.rev || is.sum != e.sum || is.size != e.size {
					t.Fatalf("%s is %+v, was %+v", e.key, is, e)
				}
				if cm, ok := is.obj.(*corev1.ConfigMap); ok && !maps.Equal(cm.Data, e.obj.(*corev1.ConfigMap).Data) {
					t.Fatalf("%s has %v", e.key, cm.Data)
				}
			}
		}
		if n > 0 && (len(s.header.Sentinels) != min(n+1, checkpointSentinels) || s.header.Sentinels[0].Revision != int64(n+1)) {
			t.Errorf("sentinels %+v", s.header.Sentinels)
		}
	}
}

func TestCheckpointOfKindsThatAreNotKept(t *testing.T) {
	r, c := saved(t, 10)
	file := fileOf(t, c)
	r.kinds = r.kinds[1:]
	s, err := read(r, file)
	if err != nil || len(s.kinds) != 1 || s.kinds[0].objects.Len() != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
}

// Any cut or change of a file is detected.
func TestCheckpointDetectsDamage(t *testing.T) {
	r, c := saved(t, 6)
	file := fileOf(t, c)
	for n := range file {
		if _, err := read(r, file[:n]); err == nil {
			t.Fatalf("cut to %d of %d bytes, it is accepted", n, len(file))
		}
		damaged := slices.Clone(file)
		damaged[n] ^= 1 << (n % 8)
		if _, err := read(r, damaged); err == nil {
			t.Fatalf("with a bit of byte %d changed, it is accepted", n)
		}
		missing := slices.Delete(slices.Clone(file), n, min(n+16, len(file)))
		if _, err := read(r, missing); err == nil {
			t.Fatalf("without the bytes from %d on, it is accepted", n)
		}
	}
}

// If one value does not decode, the whole file is not used.
func TestCheckpointWithAnUndecodableObject(t *testing.T) {
	r, c := saved(t, 3)
	k := r.kinds[0]
	k.encode = func(store.Object) ([]byte, error) { return []byte("{"), nil }
	if _, err := read(r, fileOf(t, c)); err == nil || !strings.Contains(err.Error(), k.prefix+"default/cm-0") {
		t.Errorf("read: %v", err)
	}
	k.encode = func(store.Object) ([]byte, error) { panic("boom") }
	if err := c.write(t.Context(), newCheckpointWriter(new(bytes.Buffer)), 1); err == nil || !strings.Contains(err.Error(), "boom") {
		t.Errorf("write: %v", err)
	}
}

// resum corrects the checksum of each block, so that the reader gets past the
// checksums.
func resum(file []byte) []byte {
	end := bytes.IndexByte(file, '\n') + 1
	for end > 0 && len(file) >= end+blockHead {
		next := end + blockHead + int(binary.LittleEndian.Uint32(file[end+1:]))
		if next+blockSum > len(file) || next < end {
			break
		}
		binary.LittleEndian.PutUint64(file[next:], xxhash.Sum64(file[:next]))
		end = next + blockSum
	}
	return file
}

func FuzzReadCheckpoint(f *testing.F) {
	r, c := saved(f, 3)
	file := fileOf(f, c)
	f.Add(file, true)
	f.Add(file[:len(file)-3], false)
	f.Add([]byte("homeostat checkpoint 2\nh\xff\xff\xff\xff"), false)
	f.Fuzz(func(t *testing.T, data []byte, mend bool) {
		if mend {
			data = resum(slices.Clone(data))
		}
		s, err := read(r, data)
		if err != nil {
			return
		}
		if !mend && !bytes.Equal(data, file) && xxhash.Sum64(data[:len(data)-blockSum]) != binary.LittleEndian.Uint64(data[len(data)-blockSum:]) {
			t.Fatal("damage is accepted")
		}
		for _, k := range s.kinds {
			k.objects.Scan(func(key string, e *entry) bool {
				if key != e.key || e.rev > s.header.Revision {
					t.Fatalf("%q: %+v", key, e)
				}
				return true
			})
		}
	})
}

// faultyDisk is a disk that fails at some operation: the operation returns an
// error, or the machine stops. A part of what was not synced by then is lost.
type faultyDisk struct {
	dice  *rand.Rand
	left  int  // operations until the failure
	crash bool // the machine stops then

	files  map[string]*faultyFile // as processes see them
	stable map[string]*faultyFile // as the directory is on disk
}

type faultyFile struct {
	disk   *faultyDisk
	data   []byte
	synced int
}

var (
	errFault   = errors.New("injected fault")
	errStopped = errors.New("the machine has stopped")
)

func (d *faultyDisk) step() error {
	d.left--
	switch {
	case d.left == 0 && !d.crash:
		return errFault
	case d.left <= 0 && d.crash:
		return errStopped
	}
	return nil
}

func (d *faultyDisk) create(path string) (diskFile, error) {
	if err := d.step(); err != nil {
		return nil, err
	}
	if d.files[path] != nil {
		return nil, fs.ErrExist
	}
	d.files[path] = &faultyFile{disk: d}
	return d.files[path], nil
}

func (d *faultyDisk) rename(from, to string) error {
	if err := d.step(); err != nil {
		return err
	}
	d.files[to] = d.files[from]
	delete(d.files, from)
	if d.dice.IntN(2) == 0 { // the directory may be written at any time
		d.stable = maps.Clone(d.files)
	}
	return nil
}

func (d *faultyDisk) remove(path string) error {
	if err := d.step(); err != nil {
		return err
	}
	if d.files[path] == nil {
		return fs.ErrNotExist
	}
	delete(d.files, path)
	return nil
}

func (d *faultyDisk) syncDir(string) error {
	if err := d.step(); err != nil {
		return err
	}
	d.stable = maps.Clone(d.files)
	return nil
}

func (f *faultyFile) Write(b []byte) (int, error) {
	if err := f.disk.step(); err != nil {
		n := f.disk.dice.IntN(len(b) + 1) // a torn write
		f.data = append(f.data, b[:n]...)
		return n, err
	}
	f.data = append(f.data, b...)
	return len(b), nil
}

func (f *faultyFile) Sync() error {
	if err := f.disk.step(); err != nil {
		return err
	}
	f.synced = len(f.data)
	return nil
}

func (f *faultyFile) Close() error { return f.disk.step() }

// restart returns the file at a path after a restart of the machine.
func (d *faultyDisk) restart(path string) []byte {
	f := d.stable[path]
	if f == nil {
		return nil
	}
	return f.data[:f.synced+d.dice.IntN(len(f.data)-f.synced+1)]
}

// After any failure, and after a stop of the machine at any point, the file is a
// complete checkpoint: the old one or the new one.
func TestCheckpointIsWholeAfterAnyFault(t *testing.T) {
	const path = "/dir/checkpoint"
	r, first := saved(t, 5)
	old := fileOf(t, first)
	set(&Informer[*corev1.ConfigMap]{r, r.kinds[0]}, "default", "new", "v")
	second := (&checkpointer{replica: r}).capture()
	write := func(w *checkpointWriter) error { return second.write(t.Context(), w, 2) }
	for _, crash := range []bool{false, true} {
		for _, leftover := range []bool{false, true} {
			outcomes := map[int64]int{}
			finished := false
			for n := 1; !finished; n++ {
				for seed := range uint64(20) {
					d := &faultyDisk{dice: rand.New(rand.NewPCG(seed, uint64(n))), left: n, crash: crash, files: map[string]*faultyFile{}}
					d.files[path] = &faultyFile{disk: d, data: old, synced: len(old)}
					if leftover {
						d.files[path+".tmp"] = &faultyFile{disk: d, data: []byte("of a process that was killed")}
					}
					d.stable = maps.Clone(d.files)
					_, err := replaceFile(d, path, write)
					finished = d.left > 0
					if (err == nil) != finished && crash {
						t.Fatalf("operation %d failed, error is %v", n, err)
					}
					found := d.restart(path)
					if !crash {
						found = d.files[path].data
					}
					s, readErr := read(r, found)
					if readErr != nil {
						t.Fatalf("crash %v at operation %d, seed %d: %v", crash, n, seed, readErr)
					}
					if outcomes[s.header.Revision]++; err == nil && s.header.Revision != second.snapshot.revision {
						t.Fatalf("crash %v at operation %d: written, but it is of revision %d", crash, n, s.header.Revision)
					}
				}
			}
			if len(outcomes) != 2 {
				t.Errorf("crash %v: revisions %v", crash, outcomes)
			}
		}
	}
}

// A failure is reported once and counted, and a later write succeeds.
func TestCheckpointerTriesAgain(t *testing.T) {
	r, _ := saved(t, 5)
	path := filepath.Join(t.TempDir(), "checkpoint")
	c := &checkpointer{replica: r, path: path, interval: time.Minute}
	d := &faultyDisk{dice: rand.New(rand.NewPCG(1, 1)), left: 2, files: map[string]*faultyFile{}}
	r.disk = d
	c.poll()
	c.write(t.Context(), 1)
	defer func() {
		if err := c.lock.Close(); err != nil {
			t.Error(err)
		}
	}()
	if st := r.Status().Checkpoint; !errors.Is(st.Err, errFault) || st.Failures != 1 || st.Writes != 0 {
		t.Errorf("%+v", st)
	}
	c.write(t.Context(), 1)
	if st := r.Status().Checkpoint; st.Err != nil || st.Writes != 1 || st.Bytes != int64(len(d.files[path].data)) {
		t.Errorf("%+v", st)
	}
	c.write(t.Context(), 1)
	if st := r.Status().Checkpoint; st.Writes != 1 {
		t.Error("written again, though nothing changed")
	}
	if _, err := os.Stat(path + ".lock"); err != nil {
		t.Error(err)
	}
}
