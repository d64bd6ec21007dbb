package progress

import (
	"strings"
	"unicode"
)

// Printable replaces characters that could move the cursor, change colours or end a line. Whatever a program prints of
// objects, errors included, passes through it just before it is written.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}

// columns returns how many terminal columns printable text takes. Terminals differ, so it rather returns too many: a
// wrapped line spoils a table, and a short one does not.
func columns(text string) int {
	n := 0
	for _, r := range text {
		n += runeColumns(r)
	}
	return n
}

// runeColumns returns 2 for wide scripts and emoji, and 1 for all others, including combining characters.
func runeColumns(r rune) int {
	switch {
	case r < 0x1100, r > 0x115f && r < 0x2329:
		return 1
	default:
		return 2
	}
}

// truncate cuts text to a number of columns and marks the cut.
func truncate(text string, width int) string {
	if columns(text) <= width {
		return text
	}
	if width < 1 {
		return ""
	}
	n := 0
	for i, r := range text {
		if n += runeColumns(r); n > width-1 {
			return text[:i] + "…"
		}
	}
	return text
}

func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-columns(text)))
}
