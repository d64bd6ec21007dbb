package controller

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// managerSettings are all options of a manager that an operator can set.
var managerSettings = []setting[ManagerOptions]{
	textSetting("address", "address", "serve health and metrics over HTTP at this `host:port`",
		func(o *ManagerOptions) *string { return &o.Address }),
	boolSetting("pprof", "pprof", "serve profiles too",
		func(o *ManagerOptions) *bool { return &o.Pprof }),
	textSetting("serving-cert-file", "serving.certFile", "serve with TLS and the certificate in this `file`",
		func(o *ManagerOptions) *string { return &o.Serving.CertFile }),
	textSetting("serving-key-file", "serving.keyFile", "`file` with the key of the serving certificate",
		func(o *ManagerOptions) *string { return &o.Serving.KeyFile }),
	boolSetting("serving-self-signed", "serving.selfSigned", "serve with TLS and a certificate that the program makes",
		func(o *ManagerOptions) *bool { return &o.Serving.SelfSigned }),
	textSetting("serving-client-ca-file", "serving.clientCAFile", "serve metrics and profiles to clients with a certificate of a CA in this `file`",
		func(o *ManagerOptions) *string { return &o.Serving.ClientCAFile }),
	textSetting("serving-token-file", "serving.tokenFile", "serve metrics and profiles to clients with one of the tokens in this `file`, one a line",
		func(o *ManagerOptions) *string { return &o.Serving.TokenFile }),
	listSetting("serving-hosts", "serving.hosts", "further `names` of the program's host, with commas between them",
		func(o *ManagerOptions) *[]string { return &o.Serving.Hosts }),
	numberSetting("serving-max-connections", "serving.maxConnections", "the `number` of HTTP connections that may be open at once",
		func(o *ManagerOptions) *int { return &o.Serving.MaxConnections }),
	durationSetting("grace-period", "gracePeriod", "how `long` running reconciles may go on when the program stops",
		func(o *ManagerOptions) *time.Duration { return &o.GracePeriod }),
	durationSetting("max-lag", "maxLag", "how `long` etcd may be unreachable before the program is not ready",
		func(o *ManagerOptions) *time.Duration { return &o.MaxLag }),
	boolSetting("require-decodable", "requireDecodable", "be not ready while stored values cannot be decoded",
		func(o *ManagerOptions) *bool { return &o.RequireDecodable }),
	textSetting("leadership", "leadership.name", "run in one process at a time, of all that give the same `name`",
		func(o *ManagerOptions) *string { return &leadershipOf(o).Name }),
	textSetting("leadership-identity", "leadership.identity", "this process's `name` as a leader",
		func(o *ManagerOptions) *string { return &leadershipOf(o).Identity }),
	durationSetting("leadership-lease-time", "leadership.leaseTime", "how `long` the others wait for a leader that has crashed",
		func(o *ManagerOptions) *time.Duration { return &leadershipOf(o).LeaseTime }),
	textSetting("sharding", "sharding.name", "share the work among all processes that give the same `name`",
		func(o *ManagerOptions) *string { return &shardingOf(o).Name }),
	textSetting("sharding-identity", "sharding.identity", "this process's `name` among those that share the work",
		func(o *ManagerOptions) *string { return &shardingOf(o).Identity }),
	numberSetting("sharding-buckets", "sharding.buckets", "the `number` of parts that the work is divided into, the same in all processes",
		func(o *ManagerOptions) *int { return &shardingOf(o).Buckets }),
	durationSetting("sharding-lease-time", "sharding.leaseTime", "how `long` the others wait before they take the work of a process that has crashed",
		func(o *ManagerOptions) *time.Duration { return &shardingOf(o).LeaseTime }),
}

// controllerSettings are all options of a controller that an operator can set.
var controllerSettings = []setting[Options]{
	numberSetting("workers", "workers", "how many keys a controller reconciles at once, as `controller=number`",
		func(o *Options) *int { return &o.Workers }),
	durationSetting("reconcile-timeout", "timeout", "how long one reconcile of a controller may take, as `controller=duration`",
		func(o *Options) *time.Duration { return &o.Timeout }),
	durationSetting("backoff-base", "backoffBase", "a controller's pause after a key's first failure, as `controller=duration`",
		func(o *Options) *time.Duration { return &o.BackoffBase }),
	durationSetting("backoff-max", "backoffMax", "a controller's longest pause after a failure, as `controller=duration`",
		func(o *Options) *time.Duration { return &o.BackoffMax }),
}

func leadershipOf(o *ManagerOptions) *Leadership {
	if o.Leadership == nil {
		o.Leadership = &Leadership{}
	}
	return o.Leadership
}

func shardingOf(o *ManagerOptions) *Sharding {
	if o.Sharding == nil {
		o.Sharding = &Sharding{}
	}
	return o.Sharding
}

// setting is one field of the options O that flags and files can set.
type setting[O any] struct {
	flag   string // its name
	path   string // of the field in a file, with dots between sections and fields
	usage  string
	isBool bool // its flag needs no value
	isText bool // a file gives its value as a string
	isList bool // a file gives its value as a list of strings
	parse  func(text string) (assignment[O], error)
	check  func(o *O) error // reports a value that is negative
}

// assignment sets one field of options.
type assignment[O any] func(*O)

// decode reads the setting's value from a file.
func (s setting[O]) decode(encoded json.RawMessage) (assignment[O], error) {
	text := string(encoded)
	switch {
	case s.isText:
		if err := json.Unmarshal(encoded, &text); err != nil {
			return nil, fmt.Errorf("want a string, have %s", encoded)
		}
	case s.isList:
		var items []string
		if err := json.Unmarshal(encoded, &items); err != nil {
			return nil, fmt.Errorf("want a list of strings, have %s", encoded)
		}
		text = strings.Join(items, ",")
	}
	return s.parse(text)
}

func textSetting[O any](flag, path, usage string, field func(*O) *string) setting[O] {
	s := newSetting(flag, path, usage, field, func(text string) (string, error) { return text, nil })
	s.isText = true
	return s
}

// listSetting has items without commas.
func listSetting[O any](flag, path, usage string, field func(*O) *[]string) setting[O] {
	s := newSetting(flag, path, usage, field, func(text string) ([]string, error) {
		if text == "" {
			return nil, nil
		}
		return strings.Split(text, ","), nil
	})
	s.isList = true
	return s
}

func boolSetting[O any](flag, path, usage string, field func(*O) *bool) setting[O] {
	s := newSetting(flag, path, usage, field, func(text string) (bool, error) {
		b, err := strconv.ParseBool(text)
		if err != nil {
			return false, errors.New("want true or false, have " + text)
		}
		return b, nil
	})
	s.isBool = true
	return s
}

func numberSetting[O any](flag, path, usage string, field func(*O) *int) setting[O] {
	s := newSetting(flag, path, usage, field, func(text string) (int, error) {
		n, err := strconv.Atoi(text)
		if err != nil {
			return 0, errors.New("want a whole number, have " + text)
		}
		return n, nil
	})
	s.check = notNegative(path, field)
	return s
}

func durationSetting[O any](flag, path, usage string, field func(*O) *time.Duration) setting[O] {
	s := newSetting(flag, path, usage, field, time.ParseDuration)
	s.isText, s.check = true, notNegative(path, field)
	return s
}

func newSetting[O, V any](flag, path, usage string, field func(*O) *V, parse func(string) (V, error)) setting[O] {
	return setting[O]{
		flag: flag, path: path, usage: usage,
		parse: func(text string) (assignment[O], error) {
			v, err := parse(text)
			return func(o *O) { *field(o) = v }, err
		},
		check: func(*O) error { return nil },
	}
}

func notNegative[O any, V int | time.Duration](path string, field func(*O) *V) func(*O) error {
	return func(o *O) error {
		if v := *field(o); v < 0 {
			return fmt.Errorf("%s is %v: it must not be negative", path, v)
		}
		return nil
	}
}

// checkSettings returns an error that names the first setting with a negative value.
func checkSettings[O any](settings []setting[O], o O) error {
	for _, s := range settings {
		if err := s.check(&o); err != nil {
			return err
		}
	}
	return nil
}
