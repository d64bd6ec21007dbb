package controller_test

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/homeostat/homeostat/pkg/controller"
)

func parse(t *testing.T, args ...string) (controller.Config, error) {
	t.Helper()
	var c controller.Config
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	c.Flags(flags)
	return c, flags.Parse(args)
}

func TestConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	content := "address: :8080\ngracePeriod: 10s\ncontrollers:\n  a: {workers: 8, timeout: 30s}\n  b: {backoffMax: 1m}\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	base := controller.ManagerOptions{GracePeriod: time.Second, MaxLag: time.Minute, Controllers: map[string]controller.Options{
		"a": {Workers: 2, BackoffBase: time.Second}, "c": {Workers: 3},
	}}
	a := controller.Options{Workers: 8, Timeout: 30 * time.Second, BackoffBase: time.Second}
	b, c := controller.Options{BackoffMax: time.Minute}, controller.Options{Workers: 3}
	for name, x := range map[string]struct {
		args []string
		want controller.ManagerOptions
	}{
		"nothing": {nil, base},
		"a file": {[]string{"--config", file}, controller.ManagerOptions{
			Address: ":8080", GracePeriod: 10 * time.Second, MaxLag: time.Minute,
			Controllers: map[string]controller.Options{"a": a, "b": b, "c": c},
		}},
		"flags after a file": {[]string{"--config", file, "--address=", "--address=:9", "--workers=a=1", "--workers=b=5", "--pprof"}, controller.ManagerOptions{
			Address: ":9", Pprof: true, GracePeriod: 10 * time.Second, MaxLag: time.Minute,
			Controllers: map[string]controller.Options{
				"a": {Workers: 1, Timeout: 30 * time.Second, BackoffBase: time.Second}, "b": {Workers: 5, BackoffMax: time.Minute}, "c": c,
			},
		}},
		"flags before a file": {[]string{"--grace-period=1h", "--max-lag=2m", "--workers=a=1", "--config", file}, controller.ManagerOptions{
			Address: ":8080", GracePeriod: 10 * time.Second, MaxLag: 2 * time.Minute,
			Controllers: map[string]controller.Options{"a": a, "b": b, "c": c},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := parse(t, x.args...)
			if err != nil {
				t.Fatal(err)
			}
			got, err := config.Options(base)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(x.want.Controllers, got.Controllers); diff != "" {
				t.Error(diff)
			}
			if got.Address != x.want.Address || got.Pprof != x.want.Pprof || got.GracePeriod != x.want.GracePeriod || got.MaxLag != x.want.MaxLag {
				t.Errorf("got %+v, want %+v", got, x.want)
			}
		})
	}
	if base.Controllers["a"].Workers != 2 {
		t.Error("the program's options were changed")
	}
}

func TestConfigOfPprof(t *testing.T) {
	file := func(content string) string {
		f := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(f, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return f
	}
	on, off, silent := file("pprof: true\n"), file("pprof: false\n"), file("address: :8080\n")
	for name, x := range map[string]struct {
		args []string
		want bool
	}{
		"on":                 {[]string{"--config", on}, true},
		"on, and then off":   {[]string{"--config", on, "--config", off}, false},
		"off, and then on":   {[]string{"--config", off, "--config", on}, true},
		"on, and no word":    {[]string{"--config", on, "--config", silent}, true},
		"a flag, and off":    {[]string{"--pprof", "--config", off}, false},
		"on, and a flag off": {[]string{"--config", on, "--pprof=false"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := parse(t, x.args...)
			if err != nil {
				t.Fatal(err)
			}
			if config.Pprof != x.want {
				t.Errorf("got %v", config.Pprof)
			}
		})
	}
}

func TestConfigOfLeadership(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte("leadership: {name: shop, identity: a, leaseTime: 20s}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	program := &controller.Leadership{Name: "own", LeaseTime: time.Minute}
	for name, x := range map[string]struct {
		args          []string
		program, want *controller.Leadership
	}{
		"none":                 {nil, nil, nil},
		"the program's":        {nil, program, program},
		"a file's":             {[]string{"--config", file}, nil, &controller.Leadership{Name: "shop", Identity: "a", LeaseTime: 20 * time.Second}},
		"flags after a file":   {[]string{"--config", file, "--lease-time=1s", "--leadership=x"}, program, &controller.Leadership{Name: "x", Identity: "a", LeaseTime: time.Second}},
		"flags before a file":  {[]string{"--identity=b", "--config", file}, nil, &controller.Leadership{Name: "shop", Identity: "a", LeaseTime: 20 * time.Second}},
		"a part by the config": {[]string{"--identity=b"}, program, &controller.Leadership{Name: "own", Identity: "b", LeaseTime: time.Minute}},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := parse(t, x.args...)
			if err != nil {
				t.Fatal(err)
			}
			got, err := config.Options(controller.ManagerOptions{Leadership: x.program})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(x.want, got.Leadership); diff != "" {
				t.Error(diff)
			}
		})
	}
	if program.Identity != "" {
		t.Error("the program's options were changed")
	}
	for _, args := range [][]string{{"--identity=b"}, {"--leadership=a/b"}, {"--leadership=a", "--lease-time=-1s"}} {
		config, err := parse(t, args...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := config.Options(controller.ManagerOptions{}); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}

func TestConfigOfSharding(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte("sharding: {name: shop, identity: a, buckets: 64, leaseTime: 20s}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	shop := &controller.Sharding{Name: "shop", Identity: "a", Buckets: 64, LeaseTime: 20 * time.Second}
	program := &controller.Sharding{Name: "own", Buckets: 8}
	for name, x := range map[string]struct {
		args          []string
		program, want *controller.Sharding
	}{
		"none":          {nil, nil, nil},
		"the program's": {nil, program, program},
		"a file's":      {[]string{"--config", file}, nil, shop},
		"flags after a file": {[]string{"--config", file, "--sharding=x", "--sharding-identity=b", "--buckets=16", "--sharding-lease-time=1s"}, program,
			&controller.Sharding{Name: "x", Identity: "b", Buckets: 16, LeaseTime: time.Second}},
		"flags before a file":  {[]string{"--buckets=16", "--config", file}, nil, shop},
		"a part by the config": {[]string{"--sharding-lease-time=1m"}, program, &controller.Sharding{Name: "own", Buckets: 8, LeaseTime: time.Minute}},
	} {
		t.Run(name, func(t *testing.T) {
			config, err := parse(t, x.args...)
			if err != nil {
				t.Fatal(err)
			}
			got, err := config.Options(controller.ManagerOptions{Sharding: x.program})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(x.want, got.Sharding); diff != "" {
				t.Error(diff)
			}
			if got.Leadership != nil {
				t.Error("a leadership nobody asked for")
			}
		})
	}
	if program.LeaseTime != 0 {
		t.Error("the program's options were changed")
	}
	for _, args := range [][]string{{"--buckets=8"}, {"--sharding=a/b"}, {"--sharding=a", "--buckets=-1"}, {"--sharding=a", "--sharding-lease-time=-1s"}} {
		config, err := parse(t, args...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := config.Options(controller.ManagerOptions{}); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}

func TestConfigRefusesMistakes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	for name, content := range map[string]string{
		"unknown field": "adress: :8080\n", "no duration": "gracePeriod: soon\n", "no YAML": "{", "twice": "address: a\naddress: b\n",
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := parse(t, "--config", file); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, args := range [][]string{{"--config", file + "s"}, {"--workers=a"}, {"--workers=a=0"}, {"--workers==1"}, {"--grace-period=x"}} {
		if _, err := parse(t, args...); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
	c := controller.Config{Controllers: map[string]controller.ControllerConfig{"a": {Workers: -1}}}
	if _, err := c.Options(controller.ManagerOptions{}); err == nil {
		t.Error("-1 workers: no error")
	}
}

var _ = Describe("Options of controllers", func() {
	It("are for controllers that there are", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{Controllers: map[string]controller.Options{"c": {}, "d": {}}})
		Expect(controller.NewFor[*Site](m, "c", &names{}, controller.Options{})).Error().To(Succeed())
		Expect(m.Run(ctx)).To(MatchError(ContainSubstring(`"d"`)))
	}, SpecTimeout(time.Minute))

	It("take the place of what a controller was made with", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{Controllers: map[string]controller.Options{"c": {Workers: 5}}})
		Expect(controller.NewFor[*Site](m, "c", &names{}, controller.Options{Workers: 2})).Error().To(Succeed())
		Expect(metric(m, "controller_runtime_max_concurrent_reconciles", "c")()).To(Equal(5.0))
	}, SpecTimeout(time.Minute))
})
