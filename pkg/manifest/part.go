package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// maxBroken is the maximum number of broken JSON values before the rest of a chunk is skipped. Each may cost a read up
// to the end of the source.
const maxBroken = 20

// part is one document of a chunk: as JSON, or the errors if it could not be converted to JSON.
type part struct {
	json []byte
	errs []error
}

// isNull reports whether the document is null, which YAML also writes as "~".
func (p part) isNull() bool { return bytes.Equal(p.json, []byte("null")) }

// parts returns the documents of a chunk. There is more than one only if the chunk is JSON.
func (c chunk) parts() []part {
	if i := c.invalidUTF8(); i >= 0 {
		return []part{{errs: []error{fmt.Errorf("line %d: is not UTF-8 text", c.lineAt(i))}}}
	}
	if c.firstByte() != '{' {
		return []part{c.yamlPart()}
	}
	parts, clean := c.jsonParts()
	if !clean {
		// A chunk that begins with a brace and is not JSON may be YAML in flow style.
		if p := c.yamlPart(); len(p.errs) == 0 {
			return []part{p}
		}
	}
	return parts
}

// jsonParts reads the chunk as a sequence of JSON values. clean reports whether all of them were well formed. After a
// malformed value, jsonParts continues at the next line that begins with a brace. Comment lines may stand between
// values.
func (c chunk) jsonParts() (parts []part, clean bool) {
	broken := 0
	for pos := 0; ; {
		pos += chunk{text: c.text[pos:]}.contentStart()
		if pos == len(c.text) {
			return parts, broken == 0
		}
		size, err := jsonValue(c.text[pos:])
		switch {
		case err != nil:
			parts = append(parts, part{errs: []error{c.jsonError(pos, size, err)}})
			if broken++; broken == maxBroken && pos+size < len(c.text) {
				err := fmt.Errorf("line %d: too many JSON values are broken; nothing from here on is read", c.lineAt(pos+size))
				return append(parts, part{errs: []error{err}}), false
			}
		case size > MaxDocument:
			parts = append(parts, part{errs: []error{tooLarge(size)}})
		default:
			parts = append(parts, part{json: c.text[pos : pos+size]})
		}
		pos += size
	}
}

// jsonValue returns the size of the JSON value at the start of text. If the value is malformed, it returns the error
// and how many bytes to skip.
func jsonValue(text []byte) (size int, err error) {
	var value json.RawMessage
	decoder := json.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(&value); err == nil {
		return int(decoder.InputOffset()), nil
	}
	size = len(text)
	if next := bytes.Index(text, []byte("\n{")); next >= 0 {
		size = next + 1
	}
	// The offset in Unmarshal's error counts from the start of this value.
	return size, json.Unmarshal(text[:size], &value)
}

// jsonError adds the line in the source to the error of the value at c.text[pos:pos+size].
func (c chunk) jsonError(pos, size int, err error) error {
	offset := pos
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		// The offset counts the bytes read, the offending one included.
		offset += max(0, min(int(syntax.Offset), size)-1)
	}
	return fmt.Errorf("line %d: malformed JSON: %w", c.lineAt(offset), err)
}

func tooLarge(size int) error {
	return fmt.Errorf("is %d bytes long, over the limit of %d (%s)", size, MaxDocument, mebibytes(MaxDocument))
}
