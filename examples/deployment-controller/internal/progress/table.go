package progress

import (
	"fmt"
	"strings"
)

const (
	// maxLines is the height of a table. The table must fit on the terminal, or the cursor could not move back to its
	// beginning. The constant fits on the smallest terminals in use; a measured height could shrink at any time.
	maxLines = 22

	// minName is the smallest width of the first column if the numbers need room.
	minName = 16

	gap = "  "
)

// Table formats rows as the lines of a table. No line is wider than width columns.
func Table(rows []Row, width int) []string {
	cells := [][]string{{"NAME", "REV", "UPDATED", "READY", "AVAIL", "STATE"}}
	all := 1
	for _, row := range rows {
		all += 1 + row.sets()
	}
	crowded, total := all > maxLines, 1
	for _, row := range rows {
		n := 1
		if !crowded || !row.Complete {
			n += row.sets()
		}
		if len(cells) < maxLines { // Of thousands of rows, only these are formatted.
			cells = append(cells, rowCells(row)[:n]...)
		}
		total += n
	}
	more := total - maxLines
	if more > 0 {
		more++ // The line with this number takes the place of one.
		cells = cells[:maxLines-1]
	}
	lines := align(cells, width)
	if more > 0 {
		lines = append(lines, truncate(fmt.Sprintf("... and %d more lines", more), width))
	}
	return lines
}

// sets returns how many ReplicaSets of a row have a line.
func (r Row) sets() int {
	n := 0
	if r.New != nil {
		n++
	}
	for i := range r.Earlier {
		if r.Earlier[i].active() {
			n++
		}
	}
	return n
}

// rowCells returns a line for the Deployment and one for each active ReplicaSet. For the condition there is only room for
// the reason.
func rowCells(r Row) [][]string {
	reason := strings.TrimPrefix(strings.TrimPrefix(r.Condition, notProgressing), progressing)
	cells := [][]string{{
		r.Namespace + "/" + r.Name, orDash(r.Revision), of(r.Updated, r.Desired), of(r.Ready, r.Desired),
		of(r.Available, r.Desired), reason,
	}}
	if r.New != nil {
		cells = append(cells, setCells("new", r.New))
	}
	for i := range r.Earlier {
		if r.Earlier[i].active() {
			cells = append(cells, setCells("old", &r.Earlier[i]))
		}
	}
	return cells
}

func setCells(age string, s *Set) []string {
	state := s.Image
	if s.Pods != "" {
		state += ": " + s.Pods
	}
	return []string{gap + age + " " + s.Name, orDash(s.Revision), "", of(s.Ready, s.Desired), of(s.Available, s.Desired), state}
}

func of(part, whole int32) string { return fmt.Sprintf("%d/%d", part, whole) }

// align makes columns as wide as their widest cell. The last column takes the rest of the width.
func align(cells [][]string, width int) []string {
	last := len(cells[0]) - 1
	widths := make([]int, last)
	total := 0
	for column := range widths {
		for _, line := range cells {
			widths[column] = max(widths[column], columns(line[column]))
		}
		total += widths[column] + len(gap)
	}
	if over := total - width; over > 0 {
		widths[0] = min(widths[0], max(minName, widths[0]-over))
	}
	lines := make([]string, 0, len(cells))
	for _, line := range cells {
		var b strings.Builder
		for column, w := range widths {
			b.WriteString(pad(truncate(line[column], w), w) + gap)
		}
		b.WriteString(line[last])
		lines = append(lines, truncate(strings.TrimRight(b.String(), " "), width))
	}
	return lines
}
