package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/manifest"
	"github.com/homeostat/homeostat/examples/deployment-controller/internal/progress"
)

// screen is all that the user sees. Lines and the live table share it, so one
// lock orders them.
type screen struct {
	mu      sync.Mutex
	err     io.Writer
	shared  bool // err is the terminal that shows the live table
	display *progress.Display
}

func newScreen(out, errOut io.Writer) *screen {
	live, width := terminal(out)
	errLive, _ := terminal(errOut)
	return &screen{err: errOut, shared: live && errLive, display: progress.New(out, live, width, time.Now)}
}

// minHeight is how many lines a live table may need.
const minHeight = 24

// terminal reports whether a live table can be drawn, and how wide.
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

// say prints a line; a live table moves down for it.
func (s *screen) say(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.display.Note(line)
}

// warn prints a line about something that is wrong. A live table on the same
// terminal moves down for it.
func (s *screen) warn(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shared {
		s.display.Note(line)
		return
	}
	fmt.Fprintln(s.err, line)
}

func (s *screen) complain(bad []*manifest.Error) {
	for _, err := range bad {
		s.warn(err.Error())
	}
}

func (s *screen) show(now state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.display.Update(progress.State{
		Revision: now.revision, Deployments: now.deployments, ReplicaSets: now.replicaSets, Pods: now.pods,
	})
}

func (s *screen) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.display.Close() // there is nobody left to tell
}
