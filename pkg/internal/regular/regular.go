// Package regular opens regular files. A program that opens another sort of file by
// mistake can hang for ever: a named pipe has no end until somebody writes to it, and
// some devices have none.
package regular

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Check returns an error if path names something other than a regular file. The errors
// are those of [os.Stat] and [ErrNotRegular]. A file that the process has open already,
// by its path in /dev/fd or /proc/self/fd, may be of any sort: a shell passes the output
// of a command like this.
func Check(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case info.Mode().IsRegular() || isDescriptor(path):
		return nil
	}
	return &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("it is %s: %w", sortOf(info.Mode()), ErrNotRegular)}
}

// ErrNotRegular is the error of a path that names no regular file.
var ErrNotRegular = fmt.Errorf("want a regular file: %w", fs.ErrInvalid)

func isDescriptor(path string) bool {
	path = filepath.Clean(path)
	return path == "/dev/stdin" || strings.HasPrefix(path, "/dev/fd/") || strings.HasPrefix(path, "/proc/self/fd/")
}

func sortOf(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a directory"
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "a special file"
}

// Open opens a file for reading after [Check].
func Open(path string) (*os.File, error) {
	if err := Check(path); err != nil {
		return nil, err
	}
	return os.Open(path)
}

// ReadFile is [os.ReadFile] after [Check].
func ReadFile(path string) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	return io.ReadAll(f)
}
