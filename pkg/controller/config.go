package controller

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// Config is what an operator sets of a manager and its controllers, in a YAML
// file, by flags, or both:
//
//	address: :8080
//	gracePeriod: 10s
//	leadership: {name: shop, leaseTime: 15s}
//	sharding: {name: shop, buckets: 256}
//	controllers:
//	  deployment: {workers: 8, timeout: 30s}
//
//	var config controller.Config
//	config.Flags(flag.CommandLine)
//	flag.Parse()
//	options, err := config.Options(controller.ManagerOptions{Log: log})
//
// What is left out stays as the program has it.
type Config struct {
	// Address, Pprof, GracePeriod and MaxLag are as in [ManagerOptions].
	Address     string          `json:"address,omitempty"`
	Pprof       bool            `json:"pprof,omitempty"`
	GracePeriod metav1.Duration `json:"gracePeriod,omitempty"`
	MaxLag      metav1.Duration `json:"maxLag,omitempty"`
	// Leadership has what is set of the leadership.
	Leadership LeadershipConfig `json:"leadership,omitempty"`
	// Sharding has what is set of the sharding.
	Sharding ShardingConfig `json:"sharding,omitempty"`
	// Controllers has what is set of controllers, by their names.
	Controllers map[string]ControllerConfig `json:"controllers,omitempty"`
}

// LeadershipConfig is what an operator sets of a [Leadership]. A name has a
// program take part in one that has none of its own.
type LeadershipConfig struct {
	Name      string          `json:"name,omitempty"`
	Identity  string          `json:"identity,omitempty"`
	LeaseTime metav1.Duration `json:"leaseTime,omitempty"`
}

// ShardingConfig is what an operator sets of a [Sharding]. A name has a program
// take part in one that has none of its own.
type ShardingConfig struct {
	Name      string          `json:"name,omitempty"`
	Identity  string          `json:"identity,omitempty"`
	Buckets   int             `json:"buckets,omitempty"`
	LeaseTime metav1.Duration `json:"leaseTime,omitempty"`
}

// ControllerConfig is what an operator sets of a controller, as in [Options].
type ControllerConfig struct {
	Workers     int             `json:"workers,omitempty"`
	Timeout     metav1.Duration `json:"timeout,omitempty"`
	BackoffBase metav1.Duration `json:"backoffBase,omitempty"`
	BackoffMax  metav1.Duration `json:"backoffMax,omitempty"`
}

// ReadConfig reads a file. A field that there is none of is an error, since it is
// a mistake that would go unnoticed.
func ReadConfig(file string) (Config, error) {
	var c Config
	err := c.read(file)
	return c, err
}

func (c *Config) read(file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	if err := yaml.UnmarshalStrict(content, c); err != nil {
		return fmt.Errorf("config %s: %w", file, err)
	}
	return nil
}

// Flags defines --config, which reads a file, and --address, --pprof,
// --grace-period, --max-lag, --leadership, --identity, --lease-time, --sharding,
// --sharding-identity, --sharding-lease-time, --buckets and --workers, as in
// --workers=deployment=8. Of a file and the other flags, what comes later on the
// command line counts.
func (c *Config) Flags(flags *flag.FlagSet) {
	flags.Func("config", "`file` with the manager's options, in YAML", func(file string) error {
		read := Config{Pprof: c.Pprof} // false is a value: a file that has none leaves what there is
		err := read.read(file)
		if err == nil {
			c.merge(read)
		}
		return err
	})
	flags.StringVar(&c.Address, "address", c.Address, "serve health and metrics over HTTP at this `host:port`")
	flags.BoolVar(&c.Pprof, "pprof", c.Pprof, "serve profiles too")
	flags.DurationVar(&c.GracePeriod.Duration, "grace-period", c.GracePeriod.Duration, "how `long` reconciles may go on when the program is stopped")
	flags.DurationVar(&c.MaxLag.Duration, "max-lag", c.MaxLag.Duration, "for how `long` etcd may be lost before the program is not ready")
	flags.StringVar(&c.Leadership.Name, "leadership", c.Leadership.Name, "have one process at a time do the work, of those that give the same `name`")
	flags.StringVar(&c.Leadership.Identity, "identity", c.Leadership.Identity, "what this process is called where it leads")
	flags.DurationVar(&c.Leadership.LeaseTime.Duration, "lease-time", c.Leadership.LeaseTime.Duration, "how `long` the others wait for a leader that has crashed")
	flags.StringVar(&c.Sharding.Name, "sharding", c.Sharding.Name, "have all processes that give the same `name` share the work")
	flags.StringVar(&c.Sharding.Identity, "sharding-identity", c.Sharding.Identity, "what this process is called where it shares the work")
	flags.DurationVar(&c.Sharding.LeaseTime.Duration, "sharding-lease-time", c.Sharding.LeaseTime.Duration, "how `long` the work of a process that has crashed waits for the others")
	flags.IntVar(&c.Sharding.Buckets, "buckets", c.Sharding.Buckets, "into what `number` of parts the work is shared, the same in all processes")
	flags.Func("workers", "how many keys a controller reconciles at once, as `controller=number`; repeatable", c.setWorkers)
}

func (c *Config) setWorkers(s string) error {
	name, number, _ := strings.Cut(s, "=")
	n, err := strconv.Atoi(number)
	if name == "" || err != nil || n < 1 {
		return errors.New("want controller=number")
	}
	set := c.Controllers[name]
	set.Workers = n
	c.setController(name, set)
	return nil
}

func (c *Config) setController(name string, set ControllerConfig) {
	if c.Controllers == nil {
		c.Controllers = map[string]ControllerConfig{}
	}
	c.Controllers[name] = set
}

// merge has what is set in other take the place of what is set here. Pprof is always
// set in other.
func (c *Config) merge(other Config) {
	c.Address = cmp.Or(other.Address, c.Address)
	c.Pprof = other.Pprof
	c.GracePeriod = cmp.Or(other.GracePeriod, c.GracePeriod)
	c.MaxLag = cmp.Or(other.MaxLag, c.MaxLag)
	c.Leadership = LeadershipConfig{
		Name:      cmp.Or(other.Leadership.Name, c.Leadership.Name),
		Identity:  cmp.Or(other.Leadership.Identity, c.Leadership.Identity),
		LeaseTime: cmp.Or(other.Leadership.LeaseTime, c.Leadership.LeaseTime),
	}
	c.Sharding = ShardingConfig{
		Name:      cmp.Or(other.Sharding.Name, c.Sharding.Name),
		Identity:  cmp.Or(other.Sharding.Identity, c.Sharding.Identity),
		Buckets:   cmp.Or(other.Sharding.Buckets, c.Sharding.Buckets),
		LeaseTime: cmp.Or(other.Sharding.LeaseTime, c.Sharding.LeaseTime),
	}
	for name, o := range other.Controllers {
		set := c.Controllers[name]
		c.setController(name, ControllerConfig{
			Workers:     cmp.Or(o.Workers, set.Workers),
			Timeout:     cmp.Or(o.Timeout, set.Timeout),
			BackoffBase: cmp.Or(o.BackoffBase, set.BackoffBase),
			BackoffMax:  cmp.Or(o.BackoffMax, set.BackoffMax),
		})
	}
}

// Options returns a program's options with what is set here in place of what they
// say. It fails when a value makes no sense. A controller that the manager does
// not have is found out by [Manager.Run].
func (c Config) Options(o ManagerOptions) (ManagerOptions, error) {
	if err := c.check(); err != nil {
		return o, err
	}
	o.Address = cmp.Or(c.Address, o.Address)
	o.Pprof = c.Pprof || o.Pprof
	o.GracePeriod = cmp.Or(c.GracePeriod.Duration, o.GracePeriod)
	o.MaxLag = cmp.Or(c.MaxLag.Duration, o.MaxLag)
	var err error
	if o.Leadership, err = c.Leadership.over(o.Leadership); err != nil {
		return o, err
	}
	if o.Sharding, err = c.Sharding.over(o.Sharding); err != nil {
		return o, err
	}
	controllers := maps.Clone(o.Controllers)
	for name, set := range c.Controllers {
		if controllers == nil {
			controllers = map[string]Options{}
		}
		controllers[name] = set.options().over(controllers[name])
	}
	o.Controllers = controllers
	return o, nil
}

// over returns a program's leadership with what is set here in place of what it
// says, or nil when there is none.
func (c LeadershipConfig) over(program *Leadership) (*Leadership, error) {
	if c == (LeadershipConfig{}) {
		return program, nil
	}
	var o Leadership
	if program != nil {
		o = *program
	}
	o.Name = cmp.Or(c.Name, o.Name)
	o.Identity = cmp.Or(c.Identity, o.Identity)
	o.LeaseTime = cmp.Or(c.LeaseTime.Duration, o.LeaseTime)
	if _, err := o.withDefaults(); err != nil {
		return program, fmt.Errorf("config: %w", err)
	}
	return &o, nil
}

// over is that of a leadership, for a sharding.
func (c ShardingConfig) over(program *Sharding) (*Sharding, error) {
	if c == (ShardingConfig{}) {
		return program, nil
	}
	var o Sharding
	if program != nil {
		o = *program
	}
	o.Name = cmp.Or(c.Name, o.Name)
	o.Identity = cmp.Or(c.Identity, o.Identity)
	o.Buckets = cmp.Or(c.Buckets, o.Buckets)
	o.LeaseTime = cmp.Or(c.LeaseTime.Duration, o.LeaseTime)
	if _, err := o.withDefaults(); err != nil {
		return program, fmt.Errorf("config: %w", err)
	}
	return &o, nil
}

func (c Config) check() error {
	if c.GracePeriod.Duration < 0 || c.MaxLag.Duration < 0 {
		return errors.New("config: gracePeriod and maxLag must not be negative")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Controllers)) {
		set := c.Controllers[name]
		if set.Workers < 0 || set.Timeout.Duration < 0 || set.BackoffBase.Duration < 0 || set.BackoffMax.Duration < 0 {
			return fmt.Errorf("config: controllers: %s: no value may be negative", name)
		}
	}
	return nil
}

func (c ControllerConfig) options() Options {
	return Options{Workers: c.Workers, Timeout: c.Timeout.Duration, BackoffBase: c.BackoffBase.Duration, BackoffMax: c.BackoffMax.Duration}
}

// over returns the options with what is not set here taken from others.
func (o Options) over(others Options) Options {
	return Options{
		Workers:     cmp.Or(o.Workers, others.Workers),
		Timeout:     cmp.Or(o.Timeout, others.Timeout),
		BackoffBase: cmp.Or(o.BackoffBase, others.BackoffBase),
		BackoffMax:  cmp.Or(o.BackoffMax, others.BackoffMax),

		EveryProcess: o.EveryProcess || others.EveryProcess,
	}
}
