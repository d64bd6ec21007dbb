package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestMain lets the test binary run tasks, like the program.
func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == taskArg {
		// Not a test's: the process ends with its task.
		os.Exit(doTask(context.Background(), os.Args[2:]))
	}
	os.Exit(m.Run())
}

func TestEverythingAtATinyScale(t *testing.T) {
	dir := t.TempDir()
	jsonFile, markdownFile := filepath.Join(dir, "report.json"), filepath.Join(dir, "report.md")
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"--scale", "tiny", "--json", jsonFile, "--markdown", markdownFile, "--profile", dir}, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	data, err := os.ReadFile(jsonFile)
	if err != nil {
		t.Fatal(err)
	}
	var report Report
	if err := json.Unmarshal(data, &report); err != nil {
		t.Fatal(err)
	}
	for _, s := range scenarios() {
		if !slices.ContainsFunc(report.Rows, func(r Row) bool { return r.Scenario == s.name }) {
			t.Errorf("scenario %s has no rows", s.name)
		}
	}
	for _, r := range report.Rows {
		if r.Ours == nil || math.IsNaN(r.Ratio) || math.IsInf(r.Ratio, 0) || r.Ratio <= 0 && !strings.HasSuffix(r.Name, "allocations") {
			t.Errorf("row %q: %+v", r.Name, r)
		}
		if (r.Aim == "") != (r.Met == nil) {
			t.Errorf("row %q has an aim without a verdict, or the other way round", r.Name)
		}
	}
	markdown, err := os.ReadFile(markdownFile)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Count(string(markdown), "\n| "), len(report.Rows)+2; got != want {
		t.Errorf("the table has %d lines, want %d", got, want)
	}
	if !bytes.Equal(markdown, stdout.Bytes()) {
		t.Error("what is printed is not what is written")
	}
	profiles, err := filepath.Glob(filepath.Join(dir, "*.cpu.pprof"))
	if err != nil || len(profiles) == 0 {
		t.Errorf("no profiles: %v", err)
	}
}

func TestExitCodes(t *testing.T) {
	for _, x := range []struct {
		code int
		says string
		args []string
	}{
		{0, "-scale", []string{"--help"}},
		{2, "unknown scale \"x\"\n", []string{"--scale", "x"}},
		{2, "missing closing )", []string{"--run", "("}},
		{2, "unexpected argument \"x\"\n", []string{"x"}},
		{1, "no such file or directory\n", []string{"--run", "none of them", "--json", filepath.Join(t.TempDir(), "a", "b")}},
	} {
		var stderr bytes.Buffer
		code := run(t.Context(), x.args, io.Discard, &stderr)
		if code != x.code || !strings.Contains(stderr.String(), x.says) {
			t.Errorf("%q: exit code %d, %s", x.args, code, &stderr)
		}
	}
}

func TestRatiosAreThoseOfTheSameRound(t *testing.T) {
	r := results{
		ours: {{"s": 2}, {"s": 20}, {"s": 3}},
		raw:  {{"s": 1}, {"s": 10}, {"s": 3}},
	}
	if got := r.ratios(ours, raw, "s"); !slices.Equal(got, []float64{2, 2, 1}) {
		t.Errorf("ratios %v", got)
	}
	if got := *r.value(ours, "s"); got != 3 {
		t.Errorf("median %v", got)
	}
	if r.value(ours, "other") != nil {
		t.Error("a value that was not measured")
	}
	row := Row{}.compare(oursOfRaw, []float64{2, 2, 1}, aim{atMost: 1.5})
	if row.Ratio != 2 || row.Low != 1 || row.High != 2 || *row.Met || row.Aim != "<= 1.5" {
		t.Errorf("row %+v", row)
	}
	if row := (Row{}).compare(oursOfRaw, []float64{5}, aim{atLeast: 5}); !*row.Met {
		t.Errorf("row %+v", row)
	}
}
