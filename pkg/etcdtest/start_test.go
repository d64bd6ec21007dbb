package etcdtest

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestStart(t *testing.T) {
	for name, o := range map[string]Options{
		"one member":         {},
		"three members":      {Members: 3},
		"one over TCP":       {ClientAddr: "127.0.0.1:0"},
		"three over TCP":     {Members: 3, ClientAddr: "localhost:0"},
		"on every interface": {ClientAddr: "0.0.0.0:0"},
		"with fsync":         {Fsync: true},
	} {
		t.Run(name, func(t *testing.T) {
			VerifyNoLeaks(t)
			c := Start(t, o)
			put(t, c.Client(), "a", "1")
			for _, e := range c.Endpoints() {
				if got := get(t, newClient(t, c, e), "a"); got != "1" {
					t.Errorf("%s serves %q", e, got)
				}
			}
		})
	}
}

// A client that asks etcd for its members must be sent to the same places.
func TestAdvertisedEndpoints(t *testing.T) {
	VerifyNoLeaks(t)
	for _, addr := range []string{Unix, "127.0.0.1:0"} {
		c := Start(t, Options{Members: 3, ClientAddr: addr})
		client := newClient(t, c, c.Member(0).Endpoint())
		must(t, client.Sync(bounded(t)))
		got, want := client.Endpoints(), c.Endpoints()
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("etcd says %v, Endpoints %v", got, want)
		}
	}
}

func TestTwoClusters(t *testing.T) {
	VerifyNoLeaks(t)
	a, b := Start(t, Options{}), Start(t, Options{Members: 3})
	put(t, a.Client(), "a", "1")
	put(t, b.Client(), "b", "2")
	if get(t, a.Client(), "b") != "" || get(t, b.Client(), "a") != "" {
		t.Error("clusters share data")
	}
	must(t, a.Close())
	put(t, b.Client(), "b", "3")
}

// Sockets need short and simple paths, whatever the system's directory is.
func TestTempDirs(t *testing.T) {
	VerifyNoLeaks(t)
	t.Chdir(t.TempDir())
	for _, dir := range []string{strings.Repeat("x", 100), "a b", "relative"} {
		must(t, os.Mkdir(dir, 0o700))
		for _, dir := range []string{dir, filepath.Join(t.TempDir(), dir)} {
			must(t, os.MkdirAll(dir, 0o700))
			t.Setenv("TMPDIR", dir)
			c := Start(t, Options{})
			put(t, c.Client(), "a", "1")
			must(t, c.Close())
		}
	}
}

func TestClose(t *testing.T) {
	VerifyNoLeaks(t)
	ctx := bounded(t)
	c, err := Run(ctx, Options{})
	must(t, err)
	// Close must not wait for these.
	own, err := c.NewClient(ClientOptions{})
	must(t, err)
	for _, client := range []*clientv3.Client{c.Client(), own} {
		<-client.Watch(ctx, "a", clientv3.WithCreatedNotify())
	}
	temp := c.home.temp

	must(t, c.Close())
	must(t, c.Close())
	if _, err := os.Stat(temp); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the temporary directory is still there: %v", err)
	}
	if _, err := c.NewClient(ClientOptions{}); !errors.Is(err, ErrClosed) {
		t.Errorf("NewClient after Close: %v", err)
	}
	if _, err := c.Member(0).NewLink(); !errors.Is(err, ErrClosed) {
		t.Errorf("NewLink after Close: %v", err)
	}
	if err := c.Member(0).Restart(ctx); !errors.Is(err, ErrClosed) {
		t.Errorf("Restart after Close: %v", err)
	}
	if err := c.Wipe(ctx); !errors.Is(err, ErrClosed) {
		t.Errorf("Wipe after Close: %v", err)
	}
	must(t, c.Member(0).Stop())
}

func TestStartReportsToTheTest(t *testing.T) {
	VerifyNoLeaks(t)
	tb := &fakeTB{}
	tb.run(func() { Start(tb, Options{ClientAddr: "nowhere"}) })
	if !strings.Contains(tb.failed, "nowhere") {
		t.Errorf("the test failed with %q", tb.failed)
	}
}

func TestRunErrors(t *testing.T) {
	VerifyNoLeaks(t)
	ctx := bounded(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	inUse := Start(t, Options{DataDir: t.TempDir()}).options.DataDir
	three := t.TempDir()
	must(t, Start(t, Options{DataDir: three, Members: 3}).Close())

	for name, x := range map[string]struct {
		ctx  context.Context
		o    Options
		is   error  // may be nil
		says string // may be empty
	}{
		"port taken":         {ctx, Options{ClientAddr: taken.Addr().String()}, syscall.EADDRINUSE, ""},
		"port taken, three":  {ctx, Options{ClientAddr: taken.Addr().String(), Members: 3}, syscall.EADDRINUSE, ""},
		"not a directory":    {ctx, Options{DataDir: file}, syscall.ENOTDIR, ""},
		"directory in use":   {ctx, Options{DataDir: inUse}, nil, "used by another cluster"},
		"other members":      {ctx, Options{DataDir: three}, nil, "holds a cluster of 3 members, not 1"},
		"no port":            {ctx, Options{ClientAddr: "127.0.0.1"}, nil, "missing port"},
		"host name":          {ctx, Options{ClientAddr: "example.org:1"}, nil, "must be an IP address"},
		"negative members":   {ctx, Options{Members: -1}, nil, "-1 members"},
		"context has ended":  {canceled, Options{}, context.Canceled, ""},
		"ended, three":       {canceled, Options{Members: 3}, context.Canceled, ""},
		"ended, kept data":   {canceled, Options{DataDir: t.TempDir()}, context.Canceled, ""},
		"member not a dir":   {ctx, Options{DataDir: withFile(t, "m0")}, nil, "m0"},
		"unreadable peers":   {ctx, Options{DataDir: withDir(t, "peers")}, nil, "peers"},
		"unwritable peers":   {ctx, Options{DataDir: withDir(t, "peers.next")}, nil, "peers"},
		"unwritable, three":  {ctx, Options{DataDir: withDir(t, "peers.next"), Members: 3}, nil, "peers"},
		"host does not bind": {ctx, Options{ClientAddr: "192.0.2.1:0"}, nil, "192.0.2.1"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Run(x.ctx, x.o)
			switch {
			case err == nil:
				must(t, c.Close())
				t.Error("no error")
			case x.is != nil && !errors.Is(err, x.is):
				t.Errorf("%v, not %v", err, x.is)
			case !strings.Contains(err.Error(), x.says):
				t.Errorf("%v does not say %q", err, x.says)
			case strings.Contains(err.Error(), "\n"):
				t.Errorf("more than a line: %v", err)
			}
		})
	}
}

func withFile(t *testing.T, name string) string {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	return dir
}

func withDir(t *testing.T, name string) string {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, name), 0o700))
	return dir
}

func TestQuota(t *testing.T) {
	VerifyNoLeaks(t)
	c := Start(t, Options{QuotaBytes: 1 << 20})
	var err error
	for range 10 {
		if _, err = c.Client().Put(bounded(t), "a", strings.Repeat("x", 1<<20)); err != nil {
			break
		}
	}
	if err == nil || !strings.Contains(err.Error(), "space exceeded") {
		t.Errorf("a full database accepts writes: %v", err)
	}
}
