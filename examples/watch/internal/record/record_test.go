package record_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/homeostat/homeostat/examples/watch/internal/record"
	"github.com/homeostat/homeostat/examples/watch/internal/stream"
	"github.com/homeostat/homeostat/pkg/etcd"
)

func sample() record.Record {
	return record.Record{
		Cluster: 0xdeadbeefcafe0123,
		Range:   etcd.Range{Start: "/a\xff", End: "\x00"},
		Position: stream.Position{
			Revision: 42, Sentinel: &stream.Sentinel{Key: []byte("/a\xff"), Revision: 41, Sum: "0123"},
		},
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	if _, ok, err := record.Read(path); ok || err != nil {
		t.Fatalf("no file: %v, %v", ok, err)
	}
	for _, revision := range []int64{42, 43} {
		want := sample()
		want.Position.Revision = revision
		if err := record.Write(path, want); err != nil {
			t.Fatal(err)
		}
		got, ok, err := record.Read(path)
		if err != nil || !ok || !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v, %v, %v; want %+v", got, ok, err, want)
		}
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 1 {
		t.Errorf("%v is left, %v", files, err)
	}
}

func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	if err := record.Write(filepath.Join(dir, "no", "such"), sample()); err == nil {
		t.Error("no error where there is no directory")
	}
	if err := record.Write(dir, sample()); err == nil {
		t.Error("no error where a directory is in the way")
	}
}

func TestAPipeIsRefused(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := record.Read(pipe); ok || err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("%v, %v", ok, err)
	}
}

func TestOtherFilesAreRefused(t *testing.T) {
	for _, body := range []string{
		"", "{}", "not JSON", `{"version":2,"cluster":"1","revision":3}`, `{"version":1,"cluster":"x","revision":3}`,
		`{"version":1,"cluster":"1","revision":0}`, `{"version":1,"cluster":"1","revision":3,"more":1}`,
	} {
		path := filepath.Join(t.TempDir(), "record")
		if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := record.Read(path); ok || err == nil || !strings.Contains(err.Error(), "is not a record") {
			t.Errorf("%q: %v, %v", body, ok, err)
		}
	}
}

func TestFits(t *testing.T) {
	r := sample()
	if err := r.Fits(r.Cluster, r.Range, 42); err != nil {
		t.Error(err)
	}
	for want, err := range map[string]error{
		"belongs to cluster deadbeefcafe0123": r.Fits(1, r.Range, 42),
		"is for the keys from":                r.Fits(r.Cluster, etcd.PrefixRange("/b"), 42),
		"etcd only at 41":                     r.Fits(r.Cluster, r.Range, 41),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
