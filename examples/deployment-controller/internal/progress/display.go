package progress

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

const (
	timeLayout = "15:04:05.000"

	// defaultWidth is the width of a terminal that does not report one.
	defaultWidth = 80

	clearRight = "\x1b[K"
	clearBelow = "\x1b[J"
)

// Display writes the progress of rollouts. See the package comment for its guarantees.
type Display struct {
	w     io.Writer
	live  bool
	width func() int
	now   func() time.Time

	closed bool
	err    error // The first error of w; nothing is written after it.

	rows  []Row    // The Deployments as they are shown, sorted.
	frame []string // If live: the lines on the screen, which the next frame replaces.
}

// New returns a Display that writes to w. If live, it redraws a table in place; otherwise it writes lines. It calls width
// at each drawing for the terminal's columns; a nil function or a width that is not positive means 80. It calls now for
// the displayed times; nil means time.Now.
func New(w io.Writer, live bool, width func() int, now func() time.Time) *Display {
	if width == nil {
		width = func() int { return defaultWidth }
	}
	if now == nil {
		now = time.Now
	}
	return &Display{w: w, live: live, width: width, now: now}
}

// Update shows a State, which should not be older than the previous one. Deployments that are not in it stay as they were
// shown. A closed Display shows nothing.
func (d *Display) Update(s State) {
	stamp := fmt.Sprintf("%s rev %d", d.now().Format(timeLayout), s.Revision)
	changed := d.merge(stamp, s)
	if d.live {
		d.redraw("", append([]string{stamp}, Table(d.rows, d.columns())...))
		return
	}
	d.write(changed)
}

// Note writes a line of text. On a terminal the line goes above the table and stays there.
func (d *Display) Note(text string) {
	if d.live {
		d.redraw(text, d.frame)
		return
	}
	d.write(Printable(text) + "\n")
}

// Close ends the display and leaves its last frame. It returns the first write error. It may be called again.
func (d *Display) Close() error {
	d.closed = true
	return d.err
}

// merge replaces the rows that a State has, and returns the lines that differ from the last ones.
func (d *Display) merge(stamp string, s State) string {
	var b strings.Builder
	for _, row := range Rows(s) {
		i, shown := slices.BinarySearchFunc(d.rows, row, compareRows)
		if !shown {
			d.rows = slices.Insert(d.rows, i, row)
		}
		if line := row.Line(); !shown || d.rows[i].Line() != line {
			fmt.Fprintf(&b, "%s  %s\n", stamp, Printable(line))
		}
		d.rows[i] = row
	}
	for _, key := range s.Deleted {
		row := Row{Namespace: key.Namespace, Name: key.Name}
		if i, shown := slices.BinarySearchFunc(d.rows, row, compareRows); shown {
			d.rows = slices.Delete(d.rows, i, i+1)
			fmt.Fprintf(&b, "%s  %s  deleted\n", stamp, Printable(key.String()))
		}
	}
	return b.String()
}

// redraw replaces the frame on the screen, and prints a line above it unless that is empty. It does so in one write and
// clears only what it does not overwrite, so that nothing flickers.
func (d *Display) redraw(above string, frame []string) {
	width := d.columns()
	var b strings.Builder
	if up := height(d.frame, width); up > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r", up)
	}
	if above != "" {
		b.WriteString(Printable(above) + clearRight + "\n")
	}
	fitted := make([]string, len(frame))
	for i, line := range frame {
		fitted[i] = truncate(Printable(line), width)
		b.WriteString(fitted[i] + clearRight + "\n")
	}
	b.WriteString(clearBelow)
	d.write(b.String())
	d.frame = fitted
}

// columns returns the width for drawing. The last column stays free: after a full line a terminal keeps the cursor on the
// last character, and clearing the rest of the line would erase it.
func (d *Display) columns() int {
	width := d.width()
	if width <= 0 {
		width = defaultWidth
	}
	return max(1, width-1)
}

// height returns how many screen lines a frame takes. That is more than its lines if the terminal has become narrower
// and wrapped them.
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
