package test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// patience bounds every wait. It is long enough for a busy machine.
const patience = time.Minute

// The example programs, built.
var deploymentController, watch string

var _ = BeforeSuite(func(ctx SpecContext) {
	SetDefaultEventuallyTimeout(patience)
	dir := GinkgoT().TempDir()
	deploymentController, watch = filepath.Join(dir, "deployment-controller"), filepath.Join(dir, "watch")
	// One command links both at the same time, and without debug information.
	command(ctx, "..", "go", "build", "-ldflags=-s -w", "-o", dir, "./examples/deployment-controller", "./examples/watch")
})

// soakLength returns the length of a spec with the label soak: the short one, or
// the full one if HOMEOSTAT_SOAK is set.
func soakLength(short, full int) int {
	if os.Getenv("HOMEOSTAT_SOAK") != "" {
		return full
	}
	return short
}

func TestEndToEnd(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "end to end")
}

// manifestFile writes a manifest for one spec.
func manifestFile(text string) string {
	GinkgoHelper()
	path := filepath.Join(GinkgoT().TempDir(), "manifest.yaml")
	Expect(os.WriteFile(path, []byte(text), 0o600)).To(Succeed())
	return path
}
