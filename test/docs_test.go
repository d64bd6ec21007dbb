package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
	batchv1 "k8s.io/api/batch/v1"
)

// goBlock matches a fenced block in Markdown that is a whole Go file. Group 1 is the
// file, group 2 its package. Files of one package on one page belong together.
var goBlock = regexp.MustCompile("(?ms)^```go\n((?:// Command [^`]*?)?package (\\w+)\n.*?)^```$")

var _ = Describe("The code in README.md and docs", func() {
	It("compiles, and its tests pass", func(ctx SpecContext) {
		Eventually(ctx, docs.done).Should(BeClosed())
		Expect(docs.err).NotTo(HaveOccurred())
		tests, err := os.ReadDir(docs.dir)
		Expect(err).NotTo(HaveOccurred())
		Expect(tests).To(HaveLen(docs.libraries))
		for _, test := range tests {
			command(ctx, GinkgoT().TempDir(), filepath.Join(docs.dir, test.Name()))
		}
	}, SpecTimeout(5*patience))

	It("says on one line that no etcd answers", func() {
		session := start(exec.Command(firstController, "--endpoints=127.0.0.1:1"))
		Eventually(session).Should(gexec.Exit(1))
		Expect(lines(session)).To(BeEmpty())
		Expect(string(session.Err.Contents())).To(MatchRegexp(`^[^\n]*127\.0\.0\.1:1[^\n]*connection refused[^\n]*\n$`))
	})

	It("applies the page's manifest, and runs a controller for it", func(ctx SpecContext) {
		w := newWorld()
		text, err := os.ReadFile("../docs/first-controller.md")
		Expect(err).NotTo(HaveOccurred())
		_, manifest, _ := strings.Cut(string(text), "`db.yaml`:\n\n```yaml\n")
		manifest, _, _ = strings.Cut(manifest, "```")
		file := filepath.Join(GinkgoT().TempDir(), "db.yaml")
		endpoints := "--endpoints=" + strings.Join(w.cluster.Endpoints(), ",")
		apply := func(manifest string) {
			GinkgoHelper()
			Expect(os.WriteFile(file, []byte(manifest), 0o600)).To(Succeed())
			Eventually(start(exec.Command(firstController, endpoints, "-apply", file))).Should(gexec.Exit(0))
		}

		running := start(exec.Command(firstController, endpoints))
		apply(manifest)
		jobs := func() []batchv1.Job { return all[batchv1.Job](ctx, w, "/registry/batch/jobs/default/") }
		Eventually(jobs).ShouldNot(BeEmpty())
		before := len(jobs())
		apply(strings.Replace(manifest, "10s", "1s", 1))
		Eventually(func() int { return len(jobs()) }).Should(BeNumerically(">", before+1)) // the slow one would take 10 s for each
		Eventually(running.Interrupt()).Should(gexec.Exit(0))
	}, SpecTimeout(2*patience))

	It("shows the patterns as they are", func() {
		files, err := filepath.Glob("../examples/patterns/*.go")
		Expect(err).NotTo(HaveOccurred())
		var code strings.Builder
		for _, file := range files {
			text, err := os.ReadFile(file)
			Expect(err).NotTo(HaveOccurred())
			code.Write(text)
		}
		page, err := os.ReadFile("../docs/patterns.md")
		Expect(err).NotTo(HaveOccurred())
		blocks := regexp.MustCompile("(?ms)^```go\n(.*?)^```$").FindAllStringSubmatch(string(page), -1)
		Expect(blocks).NotTo(BeEmpty())
		for _, block := range blocks {
			Expect(code.String()).To(ContainSubstring(block[1]), "copy it from examples/patterns")
		}
	})

	It("shows the site example as it is", func() {
		program, err := os.ReadFile("../examples/site/main.go")
		Expect(err).NotTo(HaveOccurred())
		readme, err := os.ReadFile("../README.md")
		Expect(err).NotTo(HaveOccurred())
		_, code, _ := strings.Cut(string(program), "package main\n")
		Expect(string(readme)).To(ContainSubstring(code), "copy examples/site/main.go into README.md")
	})
})

// docsBuild is the build of the code in README.md and docs. It takes long and hardly
// disturbs the other specs, which mostly wait.
type docsBuild struct {
	dir       string // gets a test program for each library
	libraries int

	done chan struct{} // closed after err was set
	err  error
}

// startDocsBuild starts the build. It ends with the suite at the latest.
func startDocsBuild() *docsBuild {
	GinkgoHelper()
	pages, err := filepath.Glob("../docs/*.md")
	Expect(err).NotTo(HaveOccurred())
	overlay, packages := codeOf(append(pages, "../README.md")...)
	b := &docsBuild{dir: GinkgoT().TempDir(), done: make(chan struct{})}
	// One command links all test programs at the same time, and without debug
	// information. It only compiles programs, which have no tests.
	args := []string{"test", "-c", "-vet=off", "-ldflags=-s -w", "-o", b.dir, "-overlay", overlay.write()}
	for pkg, program := range packages {
		args = append(args, pkg)
		if !program {
			b.libraries++
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, "go", args...)
	c.Dir = ".."
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	Expect(c.Start()).To(Succeed())
	go func() {
		defer close(b.done)
		if err := c.Wait(); err != nil {
			b.err = fmt.Errorf("go %s: %w:\n%s", strings.Join(args, " "), err, &out)
		}
	}()
	DeferCleanup(func() { cancel(); <-b.done })
	return b
}

// codeOf returns the Go files on pages, and for each of their packages whether it is a program.
func codeOf(pages ...string) (overlay, map[string]bool) {
	GinkgoHelper()
	overlay, packages := overlay{Replace: map[string]string{}}, map[string]bool{}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		Expect(err).NotTo(HaveOccurred())
		for i, block := range goBlock.FindAllStringSubmatch(string(text), -1) {
			packages[overlay.add(filepath.Base(page), block[2], i, block[1])] = block[2] == "main"
		}
	}
	Expect(packages).NotTo(BeEmpty())
	return overlay, packages
}

func start(c *exec.Cmd) *gexec.Session {
	GinkgoHelper()
	session, err := gexec.Start(c, GinkgoWriter, GinkgoWriter)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { session.Kill().Wait(patience) })
	return session
}

func command(ctx context.Context, dir, name string, args ...string) {
	GinkgoHelper()
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "%s %s:\n%s", name, strings.Join(args, " "), out)
}

// overlay adds files to the module for one build without writing them there.
type overlay struct{ Replace map[string]string }

// add adds a file to a page's package and returns the package. The page's own module is
// example.com/example; its program has the name of the page.
func (o overlay) add(page, name string, i int, text string) string {
	GinkgoHelper()
	root, err := filepath.Abs("..")
	Expect(err).NotTo(HaveOccurred())
	module := strings.ToLower(strings.ReplaceAll(page, ".", "-"))
	dir := module
	if name != "main" {
		dir += "/" + name
	}
	text = strings.ReplaceAll(text, `"example.com/example/`, `"github.com/homeostat/homeostat/docs/code/`+module+`/`)
	base := fmt.Sprintf("file%d.go", i)
	if strings.Contains(text, "*testing.T") {
		base = fmt.Sprintf("file%d_test.go", i)
	}
	file := filepath.Join(GinkgoT().TempDir(), base)
	Expect(os.WriteFile(file, []byte(text), 0o600)).To(Succeed())
	o.Replace[filepath.Join(root, "docs", "code", dir, base)] = file
	return "./docs/code/" + dir
}

func (o overlay) write() string {
	GinkgoHelper()
	text, err := json.Marshal(o)
	Expect(err).NotTo(HaveOccurred())
	file := filepath.Join(GinkgoT().TempDir(), "overlay.json")
	Expect(os.WriteFile(file, text, 0o600)).To(Succeed())
	return file
}
