package regular_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/homeostat/homeostat/pkg/internal/regular"
)

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	file, link, pipe, linkToPipe := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "pipe"), filepath.Join(dir, "link-to-pipe")
	socket := filepath.Join(dir, "socket")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, err := range []error{
		os.WriteFile(file, []byte("content"), 0o600), os.Symlink(file, link),
		syscall.Mkfifo(pipe, 0o600), os.Symlink(pipe, linkToPipe),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{file, link} {
		if content, err := regular.ReadFile(path); err != nil || string(content) != "content" {
			t.Errorf("%s: %q, %v", path, content, err)
		}
	}
	for path, sort := range map[string]string{
		pipe: "named pipe", linkToPipe: "named pipe", dir: "directory", "/dev/zero": "device", socket: "socket",
	} {
		_, err := regular.ReadFile(path)
		if !errors.Is(err, regular.ErrNotRegular) || !strings.Contains(err.Error(), sort) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := regular.ReadFile(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that does not exist: %v", err)
	}
}

// A shell passes the output of a command as a path such as /dev/fd/63.
func TestReadFileOfAPipeThatIsOpen(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString("output"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if content, err := regular.ReadFile(fmt.Sprintf("/dev/fd/%d", r.Fd())); err != nil || string(content) != "output" {
		t.Errorf("%q, %v", content, err)
	}
}
