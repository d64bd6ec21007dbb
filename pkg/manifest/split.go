package manifest

import (
	"bytes"
	"unicode/utf8"
)

// chunk is the text between two separators. It has at most one YAML document.
type chunk struct {
	text []byte
	// line is the number of text's first line in the source, from 1.
	line int
}

// split cuts a source at lines that begin with "---" or "...". It uses no parser, so a malformed document does not
// affect the others. This is correct, because such a line is a separator anywhere in YAML, even in a block scalar, and
// never occurs in JSON. Text after the three characters belongs to the next chunk. split leaves out chunks without
// content.
func split(data []byte) []chunk {
	var chunks []chunk
	add := func(text []byte, line int) {
		c := chunk{text: bytes.TrimPrefix(text, byteOrderMark()), line: line}
		if c.firstByte() != 0 {
			chunks = append(chunks, c)
		}
	}
	start, first := 0, 1 // Of the chunk at hand: its offset, and the number of its first line.
	offset, number := 0, 0
	for line := range bytes.Lines(data) {
		number++
		if size := separator(line); size > 0 {
			add(data[start:offset], first)
			start, first = offset+size, number
		}
		offset += len(line)
	}
	add(data[start:], first)
	return chunks
}

// separator returns the length of the separator at the start of the line, or 0 if there is none. A byte order mark may
// stand before it, since files may have been concatenated.
func separator(line []byte) int {
	marker := bytes.TrimPrefix(line, byteOrderMark())
	if !bytes.HasPrefix(marker, []byte("---")) && !bytes.HasPrefix(marker, []byte("...")) {
		return 0
	}
	if len(marker) > 3 && bytes.IndexByte([]byte(" \t\r\n"), marker[3]) < 0 {
		return 0
	}
	return len(line) - len(marker) + 3
}

// firstByte returns the first byte that is neither white space nor in a comment or directive, or 0 if there is none.
func (c chunk) firstByte() byte {
	if i := c.contentStart(); i < len(c.text) {
		return c.text[i]
	}
	return 0
}

func (c chunk) contentStart() int {
	offset := 0
	for line := range bytes.Lines(c.text) {
		content := bytes.TrimLeft(line, " \t\r\n")
		if len(content) > 0 && content[0] != '#' && line[0] != '%' {
			return offset + len(line) - len(content)
		}
		offset += len(line)
	}
	return offset
}

// lineAt returns the number in the source of the line that holds the byte at offset.
func (c chunk) lineAt(offset int) int {
	return c.line + bytes.Count(c.text[:offset], []byte("\n"))
}

// invalidUTF8 returns the offset of the first byte that is not UTF-8, or -1.
func (c chunk) invalidUTF8() int {
	for i := 0; i < len(c.text); {
		r, size := utf8.DecodeRune(c.text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

func byteOrderMark() []byte { return []byte("\ufeff") }

func isUTF16(data []byte) bool {
	return bytes.HasPrefix(data, []byte{0xfe, 0xff}) || bytes.HasPrefix(data, []byte{0xff, 0xfe})
}
