package controller_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/homeostat/homeostat/pkg/controller"
)

// What the program sets holds until an operator says otherwise, in a file or by
// flags.
func ExampleConfig() {
	dir, err := os.MkdirTemp("", "")
	check(err)
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "manager.yaml")
	check(os.WriteFile(file, []byte(`
address: :8080
leadership: {name: shop, leaseTime: 15s}
sharding: {name: shop, buckets: 256}
controllers:
  deployment: {workers: 8, timeout: 30s}
`), 0o600))

	var config controller.Config
	flags := flag.NewFlagSet("shop", flag.ContinueOnError)
	config.Flags(flags)
	check(flags.Parse([]string{"--config", file, "--workers", "deployment=16"}))
	options, err := config.Options(controller.ManagerOptions{Address: ":9090", Pprof: true})
	check(err)

	fmt.Println("address", options.Address, "with profiles:", options.Pprof)
	fmt.Println("leadership", options.Leadership.Name, "with a lease of", options.Leadership.LeaseTime)
	fmt.Println("sharding", options.Sharding.Name, "into", options.Sharding.Buckets, "buckets")
	fmt.Println("deployment has", options.Controllers["deployment"].Workers, "workers")
	// Output:
	// address :8080 with profiles: true
	// leadership shop with a lease of 15s
	// sharding shop into 256 buckets
	// deployment has 16 workers
}

// A field that there is none of is a mistake, and found at once.
func ExampleReadConfig() {
	dir, err := os.MkdirTemp("", "")
	check(err)
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "manager.yaml")
	check(os.WriteFile(file, []byte("adress: :8080\n"), 0o600))

	_, err = controller.ReadConfig(file)
	fmt.Println(err != nil)
	// Output: true
}
