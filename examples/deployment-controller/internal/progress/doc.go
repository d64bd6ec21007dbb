// Package progress shows how rollouts go on: as a table that is redrawn in place on a terminal, as lines elsewhere.
//
// Rows turns the objects of one revision into what there is to see of them, Row.Line and Table turn that into text, and
// a Display writes it. The first three are pure functions: the same State always gives the same text.
//
// # What is guaranteed
//
//   - A line is written when what it shows of a Deployment has changed, and never for less; its first and last
//     appearance are changes. Changes that come and go between two Updates are not seen.
//   - A table is drawn with one write, moves over what it drew before, and leaves the lines above it alone. No line of it
//     is wider than the terminal.
//   - Nothing of an object can break the display: whatever is not printable is shown as a question mark.
//   - Objects are read and never changed.
//
// # What is not
//
//   - A Display is for one goroutine, and expects that nobody else writes to its terminal; Note is there for that.
//   - A table has at most as many lines as fit on a small terminal. What is more is counted, not shown.
//   - What is shown is what the controllers have written in the status, not a judgement of its truth.
package progress
