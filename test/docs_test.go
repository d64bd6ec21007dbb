package test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// goBlock is a fenced block of Go in Markdown.
var goBlock = regexp.MustCompile("(?ms)^```go\n(.*?)^```$")

var _ = Describe("The code in README.md and docs", func() {
	It("compiles: every block that is a whole file", func(ctx SpecContext) {
		pages, err := filepath.Glob("../docs/*.md")
		Expect(err).NotTo(HaveOccurred())
		overlay := overlay{Replace: map[string]string{}}
		var packages []string
		for _, page := range append(pages, "../README.md") {
			text, err := os.ReadFile(page)
			Expect(err).NotTo(HaveOccurred())
			for i, block := range goBlock.FindAllStringSubmatch(string(text), -1) {
				if strings.HasPrefix(block[1], "// Command ") || strings.HasPrefix(block[1], "package ") {
					packages = append(packages, overlay.add(fmt.Sprintf("%s-%d", filepath.Base(page), i), block[1]))
				}
			}
		}
		Expect(packages).NotTo(BeEmpty())
		file := overlay.write()
		for _, pkg := range packages {
			build := exec.CommandContext(ctx, "go", "build", "-o", os.DevNull, "-overlay", file, pkg)
			build.Dir = ".."
			out, err := build.CombinedOutput()
			Expect(err).NotTo(HaveOccurred(), "%s:\n%s", pkg, out)
		}
	}, SpecTimeout(5*patience))

	It("shows the site example as it is", func() {
		program, err := os.ReadFile("../examples/site/main.go")
		Expect(err).NotTo(HaveOccurred())
		readme, err := os.ReadFile("../README.md")
		Expect(err).NotTo(HaveOccurred())
		_, code, _ := strings.Cut(string(program), "package main\n")
		Expect(string(readme)).To(ContainSubstring(code), "copy examples/site/main.go into README.md")
	})
})

// overlay makes files part of the module for one build without writing them
// into it.
type overlay struct{ Replace map[string]string }

// add returns the package that the text becomes.
func (o overlay) add(name, text string) string {
	GinkgoHelper()
	root, err := filepath.Abs("..")
	Expect(err).NotTo(HaveOccurred())
	dir := strings.ToLower(strings.ReplaceAll(name, ".", "-"))
	file := filepath.Join(GinkgoT().TempDir(), "main.go")
	Expect(os.WriteFile(file, []byte(text), 0o600)).To(Succeed())
	o.Replace[filepath.Join(root, "docs", "code", dir, "main.go")] = file
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
