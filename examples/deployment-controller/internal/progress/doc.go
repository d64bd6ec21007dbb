// Package progress shows rollouts: on a terminal as a table that is redrawn in place, elsewhere as lines.
//
// Rows summarizes the objects of one revision, Row.Line and Table format the summary as text, and a Display writes it.
// The first three are pure functions: the same State always gives the same text.
//
// # What is guaranteed
//
//   - A Display writes a line only if the line of a Deployment has changed, including its first appearance and its
//     deletion. It does not show states between two Updates. An Update costs what it changes; on a terminal, it also
//     draws the table.
//   - It draws a table with one write over the previous one, and leaves the lines above it alone. No line is wider than
//     the terminal.
//   - No object can break the display: unprintable characters become question marks.
//   - The package never modifies objects.
//
// # What is not guaranteed
//
//   - A Display is not safe for concurrent use. Nothing else may write to its terminal; use Note for that.
//   - A table has at most as many lines as fit on a small terminal. It only counts the rest.
//   - The table shows the status that the controllers wrote, which may be wrong.
package progress
