package connect_test

import (
	"context"
	"flag"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"sigs.k8s.io/yaml"

	"github.com/homeostat/homeostat/pkg/connect"
	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/etcdtest"
)

var all = etcd.PrefixRange("/registry/")

func TestOpen(t *testing.T) {
	etcdtest.VerifyNoLeaks(t)
	cluster := etcdtest.Start(t, etcdtest.Options{})
	client, err := connect.Options{Endpoints: cluster.Endpoints()}.Open(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Put(t.Context(), "/registry/a", "b"); err != nil {
		t.Fatal(err)
	}
}

func TestOpenAsUser(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	enableAuth(t, cluster.Client())
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		options connect.Options
		keys    etcd.Range
		want    string // empty: it works
	}{
		"with a password":       {connect.Options{User: "reader:secret"}, all, ""},
		"with a file":           {connect.Options{User: "reader", PasswordFile: password}, all, ""},
		"with a wrong password": {connect.Options{User: "reader:wrong"}, all, "authentication failed"},
		"without permission":    {connect.Options{User: "reader:secret"}, etcd.PrefixRange("/other/"), "permission denied"},
		"without a user":        {connect.Options{}, all, "user name is empty"},
		"with no file":          {connect.Options{User: "reader", PasswordFile: password + "s"}, all, "password file"},
		"without a password":    {connect.Options{User: "reader"}, all, "name:password"},
	} {
		t.Run(name, func(t *testing.T) {
			c.options.Endpoints = cluster.Endpoints()
			client, err := c.options.Open(t.Context(), c.keys)
			if err == nil {
				defer client.Close()
			}
			switch {
			case c.want == "" && err != nil:
				t.Fatal(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Fatalf("error %v, want %q", err, c.want)
			}
		})
	}
}

func enableAuth(t *testing.T, client *clientv3.Client) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := client.RoleAdd(ctx, "reader")
	must(err)
	_, err = client.RoleGrantPermission(ctx, "reader", all.Start, all.End, clientv3.PermissionType(clientv3.PermRead))
	must(err)
	for user, role := range map[string]string{"root": "root", "reader": "reader"} {
		_, err = client.UserAdd(ctx, user, "secret")
		must(err)
		_, err = client.UserGrantRole(ctx, user, role)
		must(err)
	}
	_, err = client.AuthEnable(ctx)
	must(err)
}

func TestOpenNamesTheCause(t *testing.T) {
	secure := httptest.NewTLSServer(nil)
	t.Cleanup(secure.Close)
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		options connect.Options
		want    []string
	}{
		"nothing listens":       {connect.Options{Endpoints: []string{"http://127.0.0.1:1"}}, []string{"etcd at http://127.0.0.1:1 does not answer", "connection refused"}},
		"an unknown host":       {connect.Options{Endpoints: []string{"http://nowhere.invalid:2379"}}, []string{"does not answer", "nowhere.invalid"}},
		"no socket":             {connect.Options{Endpoints: []string{"unix:///nowhere/at/all"}}, []string{"does not answer", "no such file"}},
		"untrusted certificate": {connect.Options{Endpoints: []string{secure.URL}}, []string{"does not answer", "certificate"}},
		"no such CA file":       {connect.Options{CACert: "/nowhere"}, []string{"certificates", "/nowhere"}},
		"a CA that is a pipe":   {connect.Options{CACert: pipe}, []string{"certificates", pipe, "named pipe"}},
		"a key that is a pipe":  {connect.Options{Cert: "options.go", Key: pipe}, []string{"certificates", pipe, "named pipe"}},
		"a password in a pipe":  {connect.Options{User: "u", PasswordFile: pipe}, []string{"password file", pipe, "named pipe"}},
		"a key alone":           {connect.Options{Key: "k"}, []string{"belong together"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			timeout := time.Hour // which none of them waits for
			if name == "an unknown host" {
				timeout = 2 * time.Second // a machine without a name server cannot know that
			}
			_, err := connect.OpenWithin(c.options, t.Context(), all, timeout)
			if err == nil {
				t.Fatal("it opened")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
		})
	}
}

func TestOpenDespiteABadMember(t *testing.T) {
	cluster := etcdtest.Start(t, etcdtest.Options{Members: 3})
	enableAuth(t, cluster.Client())
	link, err := cluster.Member(1).NewLink()
	if err != nil {
		t.Fatal(err)
	}
	link.Freeze() // one member hangs, and another is cut off
	cluster.Isolate(0)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	leader, err := cluster.Leader(ctx)
	if err != nil || leader == 0 {
		t.Fatalf("leader %d: %v", leader, err)
	}
	for _, endpoints := range [][]string{
		{cluster.Member(0).Endpoint(), cluster.Member(1).Endpoint(), cluster.Member(2).Endpoint()},
		{link.Endpoint(), cluster.Member(2).Endpoint()},
	} {
		for range 6 { // the balancer's turn differs
			client, err := (connect.Options{Endpoints: endpoints, User: "reader:secret"}).Open(ctx, all)
			if err != nil {
				t.Fatal(err)
			}
			client.Close()
		}
	}
}

func TestOpenObeysItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (connect.Options{Endpoints: []string{"http://127.0.0.1:1"}}).Open(ctx, all); err == nil {
		t.Fatal("it opened")
	}
}

func TestFlagsOverrideAFile(t *testing.T) {
	var o connect.Options
	if err := yaml.UnmarshalStrict([]byte("endpoints: [a, b]\nuser: me:pw\ncacert: ca.pem\n"), &o); err != nil {
		t.Fatal(err)
	}
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	o.Flags(flags)
	if err := flags.Parse([]string{"--endpoints", "c, d,", "--cert=cert.pem", "--key=key.pem"}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(o.Endpoints, []string{"c", "d"}) || o.User != "me:pw" || o.CACert != "ca.pem" || o.Cert != "cert.pem" || o.Key != "key.pem" {
		t.Fatalf("got %+v", o)
	}
	flags.SetOutput(new(strings.Builder))
	if err := flags.Parse([]string{"--endpoints", ""}); err == nil {
		t.Fatal("an empty list of endpoints is no error")
	}
}
