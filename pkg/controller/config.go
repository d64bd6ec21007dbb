package controller

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/homeostat/homeostat/pkg/internal/regular"
)

// Config lets an operator change the options of a manager and of its controllers,
// in YAML files, by flags, or both. The zero value changes nothing.
//
//	var config controller.Config
//	config.Flags(flag.CommandLine)
//	flag.Parse()
//	m, err := controller.NewManager(s, config.Options(controller.ManagerOptions{Log: log}))
//
// A file looks like this:
//
//	address: :8080
//	serving:
//	  certFile: /etc/shop/tls.crt # or selfSigned: true
//	  keyFile: /etc/shop/tls.key
//	  clientCAFile: /etc/shop/ca.crt
//	  tokenFile: /etc/shop/tokens
//	  hosts: [shop.example.com]
//	  maxConnections: 1000
//	pprof: true
//	gracePeriod: 10s
//	maxLag: 30s
//	requireDecodable: true
//	leadership: {name: shop, identity: a, leaseTime: 15s}
//	sharding: {name: shop, identity: a, buckets: 256, leaseTime: 15s}
//	controllers:
//	  deployment: {workers: 8, timeout: 30s, backoffBase: 10ms, backoffMax: 1m}
//
// Each setting has a flag too; see [Config.Flags]. A setting replaces the program's
// option, and the same setting read earlier. The values false, 0 and "" replace it too,
// and then mean what they mean in [ManagerOptions] and [Options]. A setting that is
// left out or null changes nothing.
//
// Config also reads itself from JSON, so it can be a field of a program's own
// configuration. It is not safe for concurrent use.
type Config struct {
	manager     []assignment[ManagerOptions]
	controllers map[string][]assignment[Options]
}

// ReadFile reads settings from a YAML file. It returns an error, and takes no
// setting from the file, if the file names an unknown setting or has a value of
// the wrong type. [NewManager], [New] and their like check whether the values
// make sense.
func (c *Config) ReadFile(file string) error {
	content, err := regular.ReadFile(file)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	encoded, err := yaml.YAMLToJSONStrict(content)
	if err == nil {
		err = c.UnmarshalJSON(encoded)
	}
	if err != nil {
		return fmt.Errorf("config %s: %w", file, err)
	}
	return nil
}

// UnmarshalJSON reads settings from JSON, as [Config.ReadFile] does from YAML. It
// keeps the settings that were read before.
func (c *Config) UnmarshalJSON(encoded []byte) error {
	sections, err := fieldsOf("", encoded)
	if err != nil {
		return err
	}
	byName, err := fieldsOf("controllers", sections["controllers"])
	if err != nil {
		return err
	}
	delete(sections, "controllers")
	manager, err := decodeSettings(managerSettings, "", sections)
	if err != nil {
		return err
	}
	controllers := map[string][]assignment[Options]{}
	for name, encoded := range byName {
		at := "controllers." + name
		fields, err := fieldsOf(at, encoded)
		if err != nil {
			return err
		}
		if controllers[name], err = decodeSettings(controllerSettings, at+".", fields); err != nil {
			return err
		}
	}
	c.manager = append(c.manager, manager...)
	for name, assignments := range controllers {
		c.addController(name, assignments...)
	}
	return nil
}

// Flags defines a flag for each setting:
//
//	--config              --leadership              --sharding              --workers
//	--address             --leadership-identity     --sharding-identity     --reconcile-timeout
//	--pprof               --leadership-lease-time   --sharding-buckets      --backoff-base
//	--grace-period                                  --sharding-lease-time   --backoff-max
//	--max-lag             --serving-cert-file       --serving-key-file
//	--require-decodable   --serving-client-ca-file  --serving-self-signed
//	                      --serving-token-file      --serving-hosts
//	                      --serving-max-connections
//
// --config reads a file. The flags in the last column set the options of one
// controller, as in --workers=deployment=8. All flags can be repeated. The flags
// and files on a command line are read in their order.
func (c *Config) Flags(flags *flag.FlagSet) {
	flags.Func("config", "read the manager's settings from this YAML `file`", c.ReadFile)
	for _, s := range managerSettings {
		set := func(text string) error {
			assign, err := s.parse(text)
			if err == nil {
				c.manager = append(c.manager, assign)
			}
			return err
		}
		if s.isBool {
			flags.BoolFunc(s.flag, s.usage, set)
		} else {
			flags.Func(s.flag, s.usage, set)
		}
	}
	for _, s := range controllerSettings {
		flags.Func(s.flag, s.usage, func(text string) error {
			name, value, found := strings.Cut(text, "=")
			if name == "" || !found {
				return fmt.Errorf("want controller=value")
			}
			assign, err := s.parse(value)
			if err == nil {
				c.addController(name, assign)
			}
			return err
		})
	}
}

func (c *Config) addController(name string, assignments ...assignment[Options]) {
	if c.controllers == nil {
		c.controllers = map[string][]assignment[Options]{}
	}
	c.controllers[name] = append(c.controllers[name], assignments...)
}

// Options returns the program's options with all settings applied, in the order in
// which they were read. It does not change what program points to. Setting a
// leadership's or a sharding's name turns it on in a program that has none.
//
// The settings of a controller are applied when the controller is made.
// [Manager.Run] fails if there are settings for a controller that was not made.
func (c *Config) Options(program ManagerOptions) ManagerOptions {
	o := program
	if o.Leadership != nil {
		o.Leadership = new(*o.Leadership)
	}
	if o.Sharding != nil {
		o.Sharding = new(*o.Sharding)
	}
	for _, assign := range c.manager {
		assign(&o)
	}
	o.Controllers = maps.Clone(o.Controllers)
	if o.Controllers == nil {
		o.Controllers = map[string]func(*Options){}
	}
	for name, assignments := range c.controllers {
		before, assignments := o.Controllers[name], slices.Clone(assignments)
		o.Controllers[name] = func(o *Options) {
			if before != nil {
				before(o)
			}
			for _, assign := range assignments {
				assign(o)
			}
		}
	}
	return o
}

// decodeSettings decodes the fields of a file's section. at is the section's path,
// with a dot at its end.
func decodeSettings[O any](settings []setting[O], at string, fields map[string]json.RawMessage) ([]assignment[O], error) {
	var all []assignment[O]
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		decoded, err := decodeField(settings, at, name, fields[name])
		if err != nil {
			return nil, err
		}
		all = append(all, decoded...)
	}
	return all, nil
}

// decodeField decodes the value at a path: a setting's, or a section's.
func decodeField[O any](settings []setting[O], at, path string, encoded json.RawMessage) ([]assignment[O], error) {
	i := slices.IndexFunc(settings, func(s setting[O]) bool { return s.path == path })
	switch {
	case i >= 0 && string(encoded) == "null":
		return nil, nil
	case i >= 0:
		assign, err := settings[i].decode(encoded)
		if err != nil {
			return nil, fmt.Errorf("%s%s: %w", at, path, err)
		}
		return []assignment[O]{assign}, nil
	case !slices.ContainsFunc(settings, func(s setting[O]) bool { return strings.HasPrefix(s.path, path+".") }):
		return nil, fmt.Errorf("%s%s: there is no such setting", at, path)
	}
	within, err := fieldsOf(at+path, encoded)
	if err != nil {
		return nil, err
	}
	var all []assignment[O]
	for _, name := range slices.Sorted(maps.Keys(within)) {
		decoded, err := decodeField(settings, at, path+"."+name, within[name])
		if err != nil {
			return nil, err
		}
		all = append(all, decoded...)
	}
	return all, nil
}

// fieldsOf returns the fields of a section: none where it is left out or null.
func fieldsOf(path string, encoded json.RawMessage) (map[string]json.RawMessage, error) {
	if len(encoded) == 0 {
		return nil, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(encoded, &fields); err != nil {
		return nil, fmt.Errorf("%s: want fields, have %s", strings.TrimPrefix(path, "."), encoded)
	}
	return fields, nil
}
