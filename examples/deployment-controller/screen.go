package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/progress"
	"github.com/homeostat/homeostat/pkg/manifest"
)

// screen writes everything the user sees: lines and the live table.
type screen struct {
	mu sync.Mutex // guards the following

	err     io.Writer
	shared  bool // err is the terminal that shows the live table
	display *progress.Display
}

func newScreen(out, errOut io.Writer) *screen {
	live, width := terminal(out)
	errLive, _ := terminal(errOut)
	return &screen{err: errOut, shared: live && errLive, display: progress.New(out, live, width, time.Now)}
}

// minHeight is the height that a live table may need, in lines.
const minHeight = 24

// terminal reports whether out can show a live table, and returns a function for the
// width.
func terminal(out io.Writer) (bool, func() int) {
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return false, func() int { return 0 }
	}
	if _, height, err := term.GetSize(int(f.Fd())); err != nil || height < minHeight {
		return false, func() int { return 0 }
	}
	return true, func() int {
		width, _, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return 80
		}
		return width
	}
}

// say prints a line above the live table.
func (s *screen) say(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.display.Note(line)
}

// warn prints a line to standard error, or above the live table if both share a
// terminal. Several errors that were joined become one line.
func (s *screen) warn(line string) {
	line = oneLine(line)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shared {
		s.display.Note(line)
		return
	}
	fmt.Fprintln(s.err, line)
}

// oneLine returns text that is safe to print, whatever objects it quotes.
func oneLine(text string) string {
	return progress.Printable(strings.ReplaceAll(text, "\n", "; "))
}

func (s *screen) complain(bad []*manifest.Error) {
	for _, err := range bad {
		s.warn(err.Error())
	}
}

// show displays what read returns. The states of several calls appear in the order in
// which they are read.
func (s *screen) show(read func() progress.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.display.Update(read())
}

func (s *screen) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.display.Close() // nobody could read the error
}
