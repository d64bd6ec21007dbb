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

// The example programs and the program on the page docs/first-controller.md, built.
var deploymentController, watch, firstController string

// docs is the build of the code on all pages. It goes on while specs run.
var docs *docsBuild

var _ = BeforeSuite(func(ctx SpecContext) {
	SetDefaultEventuallyTimeout(patience)
	dir := GinkgoT().TempDir()
	deploymentController, watch, firstController = filepath.Join(dir, "deployment-controller"), filepath.Join(dir, "watch"), filepath.Join(dir, "first-controller-md")
	overlay, _ := codeOf("../docs/first-controller.md")
	// One command links all at the same time, and without debug information.
	command(ctx, "..", "go", "build", "-ldflags=-s -w", "-o", dir, "-overlay", overlay.write(),
		"./examples/deployment-controller", "./examples/watch", "./docs/code/first-controller-md")
	docs = startDocsBuild()
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
