package progress

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	timeLayout = "15:04:05.000"

	// defaultWidth is taken for a terminal that does not tell its own.
	defaultWidth = 80

	clearRight = "\x1b[K"
	clearBelow = "\x1b[J"
)

// Display writes what it is told of rollouts. See the package comment for what it promises.
type Display struct {
	w     io.Writer
	live  bool
	width func() int
	now   func() time.Time

	closed bool
	err    error // The first error of w; nothing is written after it.

	lines map[string]string // Without live: the line last written for each Deployment.
	frame []string          // With live: the lines on the screen, which the next frame replaces.
}

// New returns a Display that writes to w: a table that is redrawn in place if live, else lines. Width returns the columns
// of the terminal and is asked at each drawing; nil, or a width that is not positive, means 80. Now gives the times that
// are shown; nil means time.Now.
func New(w io.Writer, live bool, width func() int, now func() time.Time) *Display {
	if width == nil {
		width = func() int { return defaultWidth }
	}
	if now == nil {
		now = time.Now
	}
	return &Display{w: w, live: live, width: width, now: now, lines: map[string]string{}}
}

// Update shows a state, which should not be older than the one before. A closed Display shows nothing.
func (d *Display) Update(s State) {
	rows := Rows(s)
	stamp := fmt.Sprintf("%s rev %d", d.now().Format(timeLayout), s.Revision)
	if d.live {
		d.redraw("", append([]string{stamp}, Table(rows, d.columns())...))
		return
	}
	d.write(d.changes(stamp, rows))
}

// Note writes a line of text. On a terminal it goes above the table and stays there.
func (d *Display) Note(text string) {
	line := printable(text)
	if d.live {
		d.redraw(line, d.frame)
		return
	}
	d.write(line + "\n")
}

// Close ends the display and leaves what it shows. It returns the first error of writing. It may be called again.
func (d *Display) Close() error {
	d.closed = true
	return d.err
}

// changes returns a line for each Deployment that is not shown as it is, and remembers it.
func (d *Display) changes(stamp string, rows []Row) string {
	var b strings.Builder
	gone := maps.Clone(d.lines)
	for _, row := range rows {
		name, line := row.Namespace+"/"+row.Name, row.Line()
		delete(gone, name)
		if d.lines[name] != line {
			d.lines[name] = line
			fmt.Fprintf(&b, "%s  %s\n", stamp, line)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(gone)) {
		delete(d.lines, name)
		fmt.Fprintf(&b, "%s  %s  deleted\n", stamp, name)
	}
	return b.String()
}

// redraw replaces the frame on the screen, and leaves a line above it unless that is empty. It is one write, and clears
// only what is not written over, so nothing flickers.
func (d *Display) redraw(above string, frame []string) {
	width := d.columns()
	var b strings.Builder
	if up := height(d.frame, width); up > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r", up)
	}
	if above != "" {
		b.WriteString(above + clearRight + "\n")
	}
	fitted := make([]string, len(frame))
	for i, line := range frame {
		fitted[i] = truncate(line, width)
		b.WriteString(fitted[i] + clearRight + "\n")
	}
	b.WriteString(clearBelow)
	d.write(b.String())
	d.frame = fitted
}

// columns returns the width to draw with. The last column stays free: a terminal whose line is full holds the cursor on
// it, where clearing the rest of the line would take the last character.
func (d *Display) columns() int {
	width := d.width()
	if width <= 0 {
		width = defaultWidth
	}
	return max(1, width-1)
}

// height returns how many lines of the screen a frame takes, which are more than it has if the terminal has become
// narrower since and wrapped them.
func height(frame []string, width int) int {
	n := 0
	for _, line := range frame {
		n += max(1, (columns(line)+width)/(width+1))
	}
	return n
}

func (d *Display) write(text string) {
	if d.closed || d.err != nil || text == "" {
		return
	}
	_, d.err = io.WriteString(d.w, text)
}
