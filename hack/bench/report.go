package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

// Row is one line of the report: a ratio of two sides, and its aim.
type Row struct {
	Scenario string `json:"scenario"`
	Name     string `json:"name"`
	Unit     string `json:"unit"`
	// Ours, Peer and Raw are medians over the rounds, for homeostat, client-go, and
	// etcd's client alone. A side may be missing.
	Ours *float64 `json:"ours,omitempty"`
	Peer *float64 `json:"peer,omitempty"`
	Raw  *float64 `json:"raw,omitempty"`
	// Ratio is the median of the rounds' ratios, Low the lowest and High the highest of
	// them. Of names the dividend and the divisor.
	Ratio float64 `json:"ratio"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	Of    string  `json:"of"`
	// Aim is the aim of Ratio; empty if there is none.
	Aim string `json:"aim,omitempty"`
	Met *bool  `json:"met,omitempty"`
}

// aim is a bound for a ratio.
type aim struct {
	atMost, atLeast float64
}

func (a aim) apply(r *Row) {
	switch {
	case a.atMost > 0:
		r.Aim, r.Met = fmt.Sprintf("<= %g", a.atMost), new(r.Ratio <= a.atMost)
	case a.atLeast > 0:
		r.Aim, r.Met = fmt.Sprintf(">= %g", a.atLeast), new(r.Ratio >= a.atLeast)
	}
}

// compare sets a row's ratio.
func (r Row) compare(of string, ratios []float64, a aim) Row {
	r.Of, r.Ratio = of, median(ratios)
	r.Low, r.High = percentile(ratios, 0), percentile(ratios, 1)
	a.apply(&r)
	return r
}

// Report is the result of a run.
type Report struct {
	Command  string            `json:"command"`
	Scale    string            `json:"scale"`
	Rounds   int               `json:"rounds"`
	Took     string            `json:"took"`
	Machine  map[string]string `json:"machine"`
	Versions map[string]string `json:"versions"`
	Rows     []Row             `json:"rows"`
}

func newReport(s scale, args []string) Report {
	return Report{
		Command: strings.Join(append([]string{"go run -C hack/bench ."}, args...), " "),
		Scale:   s.name, Rounds: s.rounds, Machine: machine(), Versions: versions(),
	}
}

func machine() map[string]string {
	m := map[string]string{
		"os": runtime.GOOS, "arch": runtime.GOARCH, "cpus": fmt.Sprint(runtime.NumCPU()), "gomaxprocs": fmt.Sprint(runtime.GOMAXPROCS(0)),
	}
	for key, from := range map[string][2]string{"cpu": {"/proc/cpuinfo", "model name"}, "memory": {"/proc/meminfo", "MemTotal"}, "load": {"/proc/loadavg", ""}} {
		if v := fileField(from[0], from[1]); v != "" {
			m[key] = v
		}
	}
	return m
}

// fileField returns the text after a name and a colon in a file, or the file's first line.
// It returns an empty string if there is no such file.
func fileField(path, name string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if name == "" {
			return strings.TrimSpace(line)
		}
		if rest, ok := strings.CutPrefix(line, name); ok {
			return strings.TrimSpace(strings.TrimLeft(rest, " \t:"))
		}
	}
	return ""
}

func versions() map[string]string {
	v := map[string]string{"go": runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, m := range info.Deps {
		switch m.Path {
		case "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/client/v3", "k8s.io/client-go":
			v[m.Path] = m.Version
		}
	}
	return v
}

func (r Report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

func (r Report) writeMarkdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "`%s`\n\n", r.Command)
	fmt.Fprintf(&b, "%s, %s CPUs, %s, load %s; %s, etcd %s, client-go %s; medians of %d interleaved rounds; it took %s.\n\n",
		r.Machine["cpu"], r.Machine["cpus"], r.Machine["memory"], r.Machine["load"],
		r.Versions["go"], r.Versions["go.etcd.io/etcd/server/v3"], r.Versions["k8s.io/client-go"], r.Rounds, r.Took)
	b.WriteString("| what | unit | ours | peer | raw | ratio | lowest..highest | of | aim | met |\n")
	b.WriteString("| --- | --- | ---: | ---: | ---: | ---: | ---: | --- | ---: | --- |\n")
	for _, row := range r.Rows {
		met := ""
		if row.Met != nil {
			met = map[bool]string{true: "yes", false: "**no**"}[*row.Met]
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s..%s | %s | %s | %s |\n", row.Name, row.Unit,
			figure(row.Ours), figure(row.Peer), figure(row.Raw),
			figure(&row.Ratio), figure(&row.Low), figure(&row.High), row.Of, row.Aim, met)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// figure formats a number with at least three significant digits and no exponent.
func figure(v *float64) string {
	switch {
	case v == nil:
		return ""
	case *v == 0:
		return "0"
	case math.Abs(*v) >= 100:
		return fmt.Sprintf("%.0f", *v)
	case math.Abs(*v) >= 10:
		return fmt.Sprintf("%.1f", *v)
	case math.Abs(*v) >= 0.1:
		return fmt.Sprintf("%.2f", *v)
	}
	return fmt.Sprintf("%.4f", *v)
}
