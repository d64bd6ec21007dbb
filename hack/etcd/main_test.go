package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/homeostat/homeostat/pkg/etcdtest"
)

func TestRun(t *testing.T) {
	etcdtest.VerifyNoLeaks(t)
	args := []string{"--listen", "127.0.0.1:0", "--members", "3", "--data-dir", t.TempDir()}
	for _, want := range []string{"", "1"} { // the second run finds what the first one wrote
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		stdout, stderr, exit := start(ctx, args)
		endpoints := readEndpoints(t, stdout)
		if len(endpoints) != 3 {
			t.Errorf("endpoints: %v", endpoints)
		}
		if got := swap(t, ctx, endpoints, "a", "1"); got != want {
			t.Errorf("found %q, not %q", got, want)
		}
		stop()
		if _, err := io.Copy(io.Discard, stdout); err != nil {
			t.Error(err)
		}
		if code := <-exit; code != 0 || stderr.Len() > 0 {
			t.Errorf("exit code %d: %s", code, stderr)
		}
	}
}

func start(ctx context.Context, args []string) (stdout *bufio.Reader, stderr *bytes.Buffer, exit <-chan int) {
	r, w := io.Pipe()
	stderr, code := &bytes.Buffer{}, make(chan int, 1)
	go func() {
		code <- run(ctx, args, w, stderr)
		w.Close()
	}()
	return bufio.NewReader(r), stderr, code
}

func readEndpoints(t *testing.T, stdout *bufio.Reader) []string {
	t.Helper()
	line, err := stdout.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	list, ok := strings.CutPrefix(line, "endpoints: ")
	if !ok {
		t.Fatalf("printed %q", line)
	}
	return strings.Split(strings.TrimSpace(list), ",")
}

// swap writes a value and returns the previous one.
func swap(t *testing.T, ctx context.Context, endpoints []string, key, value string) string {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	r, err := client.Put(ctx, key, value, clientv3.WithPrevKV())
	if err != nil {
		t.Fatal(err)
	}
	if r.PrevKv == nil {
		return ""
	}
	return string(r.PrevKv.Value)
}

func TestExitCodes(t *testing.T) {
	etcdtest.VerifyNoLeaks(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		code int
		says string
		args []string
	}{
		{0, "-members", []string{"--help"}},
		{1, "address already in use\n", []string{"--listen", taken.Addr().String()}},
		{1, "not a directory\n", []string{"--listen", "127.0.0.1:0", "--data-dir", file}},
		{1, "missing port in address\n", []string{"--listen", "127.0.0.1"}},
		{2, "--members must be at least 1, not 0\n", []string{"--members", "0"}},
		{2, "unexpected argument \"x\"\n", []string{"x"}},
		{2, "flag provided but not defined: -y\n", []string{"--y"}},
	} {
		var stderr bytes.Buffer
		code := run(t.Context(), x.args, io.Discard, &stderr)
		if code != x.code || !strings.Contains(stderr.String(), x.says) {
			t.Errorf("%q: exit code %d, %s", x.args, code, &stderr)
		}
		if code == 1 && strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%q: more than a line: %s", x.args, &stderr)
		}
	}
}

func TestInterruptedStart(t *testing.T) {
	etcdtest.VerifyNoLeaks(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stderr bytes.Buffer
	if code := run(ctx, []string{"--listen", "127.0.0.1:0"}, io.Discard, &stderr); code != 0 {
		t.Errorf("exit code %d: %s", code, &stderr)
	}
}
