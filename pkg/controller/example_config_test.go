package controller_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/homeostat/homeostat/pkg/controller"
)

// An operator changes the program's options, in a file and by flags. The setting read
// last wins.
func ExampleConfig() {
	dir, err := os.MkdirTemp("", "")
	check(err)
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "manager.yaml")
	check(os.WriteFile(file, []byte(`
address: :8080
pprof: false
leadership: {name: shop, leaseTime: 15s}
controllers:
  deployment: {workers: 8, timeout: 30s}
`), 0o600))

	var config controller.Config
	flags := flag.NewFlagSet("shop", flag.ContinueOnError)
	config.Flags(flags)
	check(flags.Parse([]string{"--config", file, "--leadership-lease-time=20s", "--sharding=shop", "--sharding-buckets=256"}))
	options := config.Options(controller.ManagerOptions{Address: ":9090", Pprof: true})

	fmt.Println("address", options.Address, "with profiles:", options.Pprof)
	fmt.Println("leadership", options.Leadership.Name, "with a lease of", options.Leadership.LeaseTime)
	fmt.Println("sharding", options.Sharding.Name, "into", options.Sharding.Buckets, "buckets")
	// Output:
	// address :8080 with profiles: false
	// leadership shop with a lease of 20s
	// sharding shop into 256 buckets
}

// An unknown setting is an error.
func ExampleConfig_ReadFile() {
	dir, err := os.MkdirTemp("", "")
	check(err)
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "manager.yaml")
	check(os.WriteFile(file, []byte("adress: :8080\n"), 0o600))

	var config controller.Config
	fmt.Println(config.ReadFile(file) != nil)
	// Output: true
}
