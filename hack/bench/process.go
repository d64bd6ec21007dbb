package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"time"
)

// taskArg is the first argument of a process that runs one task.
const taskArg = "task"

// task runs in its own process. Its input and its result are JSON on standard input and
// output.
type task func(ctx context.Context, in []byte) (any, error)

// tasks returns the tasks by name.
func tasks() map[string]task {
	return map[string]task{
		"etcd":       serveEtcd,
		"seed":       taskOf(seed),
		"sync":       taskOf(measureSync),
		"latency":    taskOf(measureLatency),
		"cachewrite": taskOf(measureCacheWrites),
		"read":       taskOf(measureReads),
		"reconcile":  taskOf(measureReconciles),
		"children":   taskOf(measureChildren),
		"change":     taskOf(change),
		"restart":    taskOf(restart),
		"shard":      taskOf(measureShard),
	}
}

func taskOf[I, O any](f func(context.Context, I) (O, error)) task {
	return func(ctx context.Context, in []byte) (any, error) {
		var i I
		if err := json.Unmarshal(in, &i); err != nil {
			return nil, fmt.Errorf("arguments: %w", err)
		}
		return f(ctx, i)
	}
}

// doTask runs a task in this process and returns the exit status.
func doTask(ctx context.Context, args []string) int {
	if err := tryTask(ctx, args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func tryTask(ctx context.Context, args []string) error {
	name, profile := args[0], args[1]
	do, ok := tasks()[name]
	if !ok {
		return fmt.Errorf("there is no task %q", name)
	}
	in, err := readInput(name)
	if err != nil {
		return err
	}
	if profile != "" {
		stop, err := startProfile(profile)
		if err != nil {
			return err
		}
		defer stop()
	}
	out, err := do(ctx, in)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// readInput reads a task's arguments. It leaves the input open: etcd serves until its
// input is closed.
func readInput(name string) ([]byte, error) {
	if name == "etcd" {
		return nil, nil
	}
	return io.ReadAll(os.Stdin)
}

func startProfile(path string) (stop func(), err error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		_ = file.Close()
	}, nil
}

// command returns a command that runs a task with this program. A label names the
// profile, if there is one.
func (b *bench) command(ctx context.Context, name, label string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	profile := ""
	if b.profiles != "" && label != "" {
		profile = filepath.Join(b.profiles, name+"-"+label+".cpu.pprof")
	}
	cmd := exec.CommandContext(ctx, self, taskArg, name, profile)
	cmd.WaitDelay = 10 * time.Second
	return cmd, nil
}

// call runs a task in its own process, so that heaps stay separate and all measurements
// start alike.
func call[O any](ctx context.Context, b *bench, name, label string, in any) (O, error) {
	var out O
	cmd, err := b.command(ctx, name, label)
	if err != nil {
		return out, err
	}
	args, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(args), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return out, fmt.Errorf("task %s %s: %w: %s", name, args, err, bytes.TrimSpace(stderr.Bytes()))
	}
	if err := json.Unmarshal(stdout.Bytes(), &out); err != nil {
		return out, fmt.Errorf("task %s: result %q: %w", name, stdout.String(), err)
	}
	return out, nil
}
