package test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
)

// patience is how long anything may take on a busy machine before it counts as
// never.
const patience = time.Minute

// binary is the built deployment-controller.
var binary string

var _ = BeforeSuite(func() {
	SetDefaultEventuallyTimeout(patience)
	var err error
	binary, err = gexec.Build("github.com/homeostat/homeostat/examples/deployment-controller")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(gexec.CleanupBuildArtifacts)
})

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
