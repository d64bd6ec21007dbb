package controller_test

import (
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/serving"
)

// optionsOf returns a program's options after a command line. An argument that is not a
// flag is the content of a file for --config.
func optionsOf(t *testing.T, program controller.ManagerOptions, args ...string) (controller.ManagerOptions, error) {
	t.Helper()
	var config controller.Config
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	config.Flags(flags)
	for i, arg := range args {
		if !strings.HasPrefix(arg, "--") {
			args[i] = "--config=" + fileOf(t, arg)
		}
	}
	err := flags.Parse(args)
	return config.Options(program), err
}

func fileOf(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// managerFields has the options of a manager that an operator can set.
var managerFields = cmpopts.IgnoreFields(controller.ManagerOptions{}, "Log", "Controllers")

func TestConfigOfManager(t *testing.T) {
	type options = controller.ManagerOptions
	type leadership = controller.Leadership
	type sharding = controller.Sharding
	const file = "address: :8080\npprof: true\n" +
		"serving: {certFile: c, keyFile: k, selfSigned: true, clientCAFile: a, tokenFile: t, hosts: [x, z], maxConnections: 7}\n" +
		"gracePeriod: 10s\nmaxLag: 20s\nrequireDecodable: true\n" +
		"leadership: {name: l, identity: a, leaseTime: 30s}\nsharding: {name: s, identity: b, buckets: 64, leaseTime: 40s}\n"
	all := func(change func(*options)) options {
		o := options{
			Address: ":8080",
			Serving: serving.Options{CertFile: "c", KeyFile: "k", SelfSigned: true, ClientCAFile: "a", TokenFile: "t",
				Hosts: []string{"x", "z"}, MaxConnections: 7},
			Pprof: true, GracePeriod: 10 * time.Second, MaxLag: 20 * time.Second, RequireDecodable: true,
			Leadership: &leadership{Name: "l", Identity: "a", LeaseTime: 30 * time.Second},
			Sharding:   &sharding{Name: "s", Identity: "b", Buckets: 64, LeaseTime: 40 * time.Second},
		}
		if change != nil {
			change(&o)
		}
		return o
	}
	for name, x := range map[string]struct {
		program options
		args    []string
		want    options
	}{
		"nothing":               {program: all(nil), want: all(nil)},
		"an empty file":         {all(nil), []string{""}, all(nil)},
		"nulls":                 {all(nil), []string{"address:\npprof:\nleadership:\nsharding: {name: }\n"}, all(nil)},
		"a file":                {options{}, []string{file}, all(nil)},
		"a file over a program": {options{Address: ":1", MaxLag: time.Hour, Leadership: &leadership{Name: "x"}}, []string{file}, all(nil)},
		"flags": {options{}, []string{
			"--address=:8080", "--serving-cert-file=c", "--serving-key-file=k", "--serving-self-signed",
			"--serving-client-ca-file=a", "--serving-token-file=t", "--serving-hosts=x,z", "--serving-max-connections=7", "--pprof", "--grace-period=10s", "--max-lag=20s", "--require-decodable",
			"--leadership=l", "--leadership-identity=a", "--leadership-lease-time=30s",
			"--sharding=s", "--sharding-identity=b", "--sharding-buckets=64", "--sharding-lease-time=40s",
		}, all(nil)},
		"a flag after a file":  {options{}, []string{file, "--address=:9"}, all(func(o *options) { o.Address = ":9" })},
		"a file after a flag":  {options{}, []string{"--address=:9", "--sharding-buckets=1", file}, all(nil)},
		"a file after a file":  {options{}, []string{file, "sharding: {buckets: 8}"}, all(func(o *options) { o.Sharding.Buckets = 8 })},
		"one field of several": {all(nil), []string{"--leadership-identity=z"}, all(func(o *options) { o.Leadership.Identity = "z" })},

		"false over a program's true":    {options{Pprof: true}, []string{"--pprof=false"}, options{}},
		"false in a file over a true":    {options{Pprof: true}, []string{"pprof: false"}, options{}},
		"false over a flag":              {options{}, []string{"--pprof", "pprof: false"}, options{}},
		"true over a false":              {options{}, []string{"pprof: false", "--pprof"}, options{Pprof: true}},
		"a file that does not say":       {options{}, []string{"--pprof", "address: :1"}, options{Pprof: true, Address: ":1"}},
		"an empty text over a program's": {options{Address: ":1"}, []string{"--address="}, options{}},
		"no names over a program's":      {options{Serving: serving.Options{Hosts: []string{"a"}}}, []string{"--serving-hosts="}, options{}},
		"no names in a file":             {options{Serving: serving.Options{Hosts: []string{"a"}}}, []string{"serving: {hosts: []}"}, options{}},
		"zero over a program's duration": {options{GracePeriod: time.Hour}, []string{"gracePeriod: 0s"}, options{}},
	} {
		t.Run(name, func(t *testing.T) {
			before := all(nil)
			got, err := optionsOf(t, x.program, x.args...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(x.want, got, managerFields); diff != "" {
				t.Error(diff)
			}
			if x.program.Sharding != nil {
				if diff := cmp.Diff(before, x.program, managerFields); diff != "" {
					t.Error("the program's options were changed", diff)
				}
			}
		})
	}
}

func TestConfigOfControllers(t *testing.T) {
	program := controller.ManagerOptions{Controllers: map[string]func(*controller.Options){
		"a": func(o *controller.Options) { o.Workers, o.BackoffBase = 2, time.Second },
		"c": func(o *controller.Options) { o.Workers = 3 },
	}}
	const file = "controllers:\n  a: {workers: 8, timeout: 30s}\n  b: {backoffBase: 1s, backoffMax: 1m}\n"
	made := controller.Options{Timeout: time.Hour, EveryProcess: true}
	for name, x := range map[string]struct {
		args []string
		want map[string]controller.Options
	}{
		"nothing": {nil, map[string]controller.Options{
			"a": {Workers: 2, BackoffBase: time.Second, Timeout: time.Hour, EveryProcess: true},
			"c": {Workers: 3, Timeout: time.Hour, EveryProcess: true},
		}},
		"a file, and then flags": {[]string{file, "--workers=a=1", "--workers=b=5", "--reconcile-timeout=b=0s", "--backoff-base=a=2s", "--backoff-max=a=3s"},
			map[string]controller.Options{
				"a": {Workers: 1, Timeout: 30 * time.Second, BackoffBase: 2 * time.Second, BackoffMax: 3 * time.Second, EveryProcess: true},
				"b": {Workers: 5, BackoffBase: time.Second, BackoffMax: time.Minute, EveryProcess: true},
				"c": {Workers: 3, Timeout: time.Hour, EveryProcess: true},
			}},
		"a flag, and then a file": {[]string{"--workers=a=1", file}, map[string]controller.Options{
			"a": {Workers: 8, Timeout: 30 * time.Second, BackoffBase: time.Second, EveryProcess: true},
			"b": {Timeout: time.Hour, BackoffBase: time.Second, BackoffMax: time.Minute, EveryProcess: true},
			"c": {Workers: 3, Timeout: time.Hour, EveryProcess: true},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			options, err := optionsOf(t, program, x.args...)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]controller.Options{}
			for name, change := range options.Controllers {
				o := made
				change(&o)
				got[name] = o
			}
			if diff := cmp.Diff(x.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if len(program.Controllers) != 2 {
		t.Error("the program's options were changed")
	}
}

func TestConfigRefusesMistakes(t *testing.T) {
	for content, complaint := range map[string]string{
		"adress: :8080":                 "adress: there is no such setting",
		"leadership: {nam: a}":          "leadership.nam: there is no such setting",
		"controllers: {a: {worker: 1}}": "controllers.a.worker: there is no such setting",
		"leadership: shop":              "leadership: want fields",
		"controllers: {a: 1}":           "controllers.a: want fields",
		"gracePeriod: soon":             "gracePeriod: time: invalid duration",
		"gracePeriod: 5":                "gracePeriod: want a string, have 5",
		"address: {a: b}":               "address: want a string",
		"pprof: perhaps":                "pprof: want true or false",
		"serving: {hosts: a}":           "serving.hosts: want a list of strings",
		"serving: {certfile: a}":        "serving.certfile: there is no such setting",
		"sharding: {buckets: 1.5}":      "sharding.buckets: want a whole number, have 1.5",
		"{":                             "yaml",
		"- a":                           "want fields",
		"address: a\naddress: b":        `"address" already set`,
	} {
		file := fileOf(t, content)
		config := new(controller.Config)
		err := config.ReadFile(file)
		if err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), complaint) {
			t.Errorf("%q: the error is %v, want one that names the file and says %s", content, err, complaint)
		}
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for arg, complaint := range map[string]string{
		"--config=nowhere.yaml": "nowhere.yaml",
		"--config=" + pipe:      "it is a named pipe",
		"--workers=a":           "want controller=value",
		"--workers==1":          "want controller=value",
		"--workers=a=x":         "want a whole number",
		"--grace-period=x":      "invalid duration",
		"--pprof=x":             "want true or false",
	} {
		if _, err := optionsOf(t, controller.ManagerOptions{}, arg); err == nil || !strings.Contains(err.Error(), complaint) {
			t.Errorf("%s: the error is %v, want %s", arg, err, complaint)
		}
	}
}

// A file with a mistake changes nothing.
func TestConfigTakesFilesAsAWhole(t *testing.T) {
	var config controller.Config
	if err := config.ReadFile(fileOf(t, "address: :1\ncontrollers: {a: {workers: 1}}\npproof: true")); err == nil {
		t.Fatal("no error")
	}
	if o := config.Options(controller.ManagerOptions{}); o.Address != "" || len(o.Controllers) != 0 {
		t.Errorf("the options are %+v", o)
	}
}

func TestConfigWithinAProgramsOwn(t *testing.T) {
	own := struct {
		Greeting string
		Manager  controller.Config
	}{}
	if err := json.Unmarshal([]byte(`{"greeting": "hello", "manager": {"address": ":8080"}}`), &own); err != nil {
		t.Fatal(err)
	}
	if o := own.Manager.Options(controller.ManagerOptions{}); o.Address != ":8080" {
		t.Errorf("the address is %q", o.Address)
	}
}

var _ = Describe("Options", func() {
	DescribeTable("with invalid values are refused, by name", func(o controller.ManagerOptions, complaint string) {
		Expect(controller.NewManager(newStore(etcd.Client()), o)).Error().To(MatchError(ContainSubstring(complaint)))
	},
		Entry(nil, controller.ManagerOptions{GracePeriod: -1}, "gracePeriod is -1ns: it must not be negative"),
		Entry(nil, controller.ManagerOptions{MaxLag: -1}, "maxLag is -1ns"),
		Entry(nil, controller.ManagerOptions{Serving: serving.Options{MaxConnections: -1}}, "serving.maxConnections is -1"),
		Entry(nil, controller.ManagerOptions{Serving: serving.Options{TokenFile: "/nowhere"}}, "serving: tokens: stat /nowhere"),
		Entry(nil, controller.ManagerOptions{Serving: serving.Options{CertFile: "a"}}, "serving: the certificate and its key belong together"),
		Entry(nil, controller.ManagerOptions{Leadership: &controller.Leadership{Name: "a", LeaseTime: -1}}, "leadership.leaseTime is -1ns"),
		Entry(nil, controller.ManagerOptions{Leadership: &controller.Leadership{Name: "a/b"}}, `leadership "a/b"`),
		Entry(nil, controller.ManagerOptions{Leadership: &controller.Leadership{Identity: "a"}}, `leadership ""`),
		Entry(nil, controller.ManagerOptions{Sharding: &controller.Sharding{Name: "a", LeaseTime: -1}}, "sharding.leaseTime is -1ns"),
		Entry(nil, controller.ManagerOptions{Sharding: &controller.Sharding{Name: "a", Buckets: -1}}, "sharding.buckets is -1"),
		Entry(nil, controller.ManagerOptions{Sharding: &controller.Sharding{Buckets: 8}}, `sharding ""`),
	)

	DescribeTable("of a controller with invalid values are refused, by name", func(o controller.Options, complaint string) {
		m := newManager(controller.ManagerOptions{})
		Expect(controller.NewFor[*Site](m, "c", &names{}, o)).Error().To(MatchError(And(ContainSubstring(`"c"`), ContainSubstring(complaint))))
	},
		Entry(nil, controller.Options{Workers: -1}, "workers is -1: it must not be negative"),
		Entry(nil, controller.Options{Workers: 2_000_000_000}, "workers is 2000000000: it must be at most 65536"),
		Entry(nil, controller.Options{Timeout: -1}, "timeout is -1ns"),
		Entry(nil, controller.Options{BackoffBase: -1}, "backoffBase is -1ns"),
		Entry(nil, controller.Options{BackoffMax: -1}, "backoffMax is -1ns"),
	)

	workers := func(n int) func(*controller.Options) { return func(o *controller.Options) { o.Workers = n } }

	It("for a controller that was not made keep the manager from running", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{Controllers: map[string]func(*controller.Options){"c": workers(1), "d": workers(1)}})
		Expect(controller.NewFor[*Site](m, "c", &names{}, controller.Options{})).Error().To(Succeed())
		Expect(m.Run(ctx)).To(MatchError(ContainSubstring(`"d"`)))
	}, SpecTimeout(time.Minute))

	It("of the manager change those that a controller was made with", func(ctx SpecContext) {
		m := newManager(controller.ManagerOptions{Controllers: map[string]func(*controller.Options){"c": workers(5), "d": workers(-5)}})
		Expect(controller.NewFor[*Site](m, "c", &names{}, controller.Options{Workers: 2})).Error().To(Succeed())
		Expect(metric(m, "controller_runtime_max_concurrent_reconciles", "c")()).To(Equal(5.0))
		Expect(controller.NewFor[*Site](m, "d", &names{}, controller.Options{Workers: 2})).Error().To(MatchError(ContainSubstring("workers is -5")))
	}, SpecTimeout(time.Minute))
})
