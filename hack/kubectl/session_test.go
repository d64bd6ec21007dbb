package main

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/google/go-cmp/cmp"
	"github.com/homeostat/homeostat/pkg/apiserver"
	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
)

var update = flag.Bool("update", false, "write testdata/session.txt with what the commands print")

type SiteSpec struct {
	Image    string `json:"image" description:"The image that the site runs."`
	Replicas int32  `json:"replicas"`
	Ports    []Port `json:"ports,omitempty" listType:"map" listMapKey:"name"`
}

type Port struct {
	Name string `json:"name"`
	Port int32  `json:"port"`
}

type SiteStatus struct {
	Ready int32 `json:"ready"`
}

type Site = store.Resource[SiteSpec, SiteStatus]

// TestSession runs the lines of testdata/session.txt that begin with "$ " in a shell, and
// compares what they print with the lines that follow. What differs from run to run, such
// as ages, is replaced first.
func TestSession(t *testing.T) {
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(bin, "kubectl"), ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build kubectl: %v\n%s", err, out)
	}
	kubeconfig := serve(t)
	want, err := os.ReadFile("testdata/session.txt")
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for line := range strings.Lines(string(want)) {
		switch {
		case strings.HasPrefix(line, "#"):
			got.WriteString(line)
		case strings.HasPrefix(line, "$ "):
			got.WriteString(line + run(t, strings.TrimSpace(line[2:]), bin, kubeconfig))
		}
	}
	if *update {
		if err := os.WriteFile("testdata/session.txt", []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); diff != "" {
		t.Errorf("the session differs (-want +got); if it should, run go test -update:\n%s", diff)
	}
}

// serve serves the API until the test ends, and returns a kubeconfig.
func serve(t *testing.T) string {
	cluster := etcdtest.Start(t, etcdtest.Options{})
	s, err := store.New(cluster.Client(), store.Options{Kinds: []store.AnyKind{
		store.Kind[*Site]{GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Site"}},
		store.Kind[*appsv1.Deployment]{GroupVersionKind: appsv1.SchemeGroupVersion.WithKind("Deployment")},
		store.Kind[*corev1.ConfigMap]{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("ConfigMap")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := controller.NewManager(s, controller.ManagerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	api, err := apiserver.New(m, apiserver.Options{Address: "127.0.0.1:0", Kubeconfig: kubeconfig, Kinds: []apiserver.AnyKind{
		apiserver.Kind[*Site]{ShortNames: []string{"st"}, Scale: &apiserver.Scale{Replicas: "spec.replicas", StatusReplicas: "status.ready"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := m.Add("api", api.Run, controller.RunnableOptions{EveryProcess: true}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if _, err := api.URL(t.Context()); err != nil {
		t.Fatal(err)
	}
	return kubeconfig
}

// run runs a line in a shell and returns what it prints.
func run(t *testing.T, line, bin, kubeconfig string) string {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "bash", "-c", line)
	c.Dir = "testdata"
	c.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "KUBECONFIG="+kubeconfig, "HOME="+bin, "KUBE_EDITOR=sed -i s/image:.*/image:/",
		"KUBECTL_EXTERNAL_DIFF=diff -u")
	out, err := c.CombinedOutput()
	text := changing.ReplaceAllString(string(out), "~")
	text = trailing.ReplaceAllString(padding.ReplaceAllString(text, "~   "), "\n")
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	if err != nil {
		text += "# " + err.Error() + "\n"
	}
	var marked strings.Builder // no line of the output may look like a command
	for l := range strings.Lines(text) {
		if strings.HasPrefix(l, "$ ") {
			l = " " + l
		}
		marked.WriteString(l)
	}
	return strings.ReplaceAll(marked.String(), "\n# exit", "\n= exit")
}

// changing matches what differs from run to run.
var changing = regexp.MustCompile(strings.Join([]string{
	`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`, // uid
	`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[^\s"]*( [+-]\d{4})?`,        // time
	`\b\d+(ms|s)\b`,                       // age
	`(?i)(resource ?version"?: +)"?\d+"?`, // revision
	`/tmp/(LIVE|MERGED)-\d+`,              // files of diff
	`127\.0\.0\.1:\d+`,                    // address
}, "|"))

// padding follows an age in a table, and is longer after a short one.
var padding = regexp.MustCompile(`~ {2,}`)

var trailing = regexp.MustCompile(` +\n`)
