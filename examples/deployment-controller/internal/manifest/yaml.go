package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	yamlparser "go.yaml.in/yaml/v2"
	"sigs.k8s.io/yaml"
)

// yamlPart turns a chunk of YAML into JSON.
func (c chunk) yamlPart() part {
	if len(c.text) > MaxDocument {
		return part{errs: []error{tooLarge(len(c.text))}}
	}
	// The parser names no line for what is wrong in the first one; with an empty line in front it names them all.
	text := append([]byte("\n"), c.text...)
	if err := checkYAML(text); err != nil {
		return part{errs: c.yamlErrors(err)}
	}
	converted, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return part{errs: c.yamlErrors(err)}
	}
	return part{json: converted}
}

// checkYAML refuses what the conversion to JSON does not mind: text behind the end of the document, which it drops, and
// aliases that repeat more than a document may hold, which it writes out.
func checkYAML(text []byte) error {
	decoder := yamlparser.NewDecoder(bytes.NewReader(text))
	var value, more any
	if err := decoder.Decode(&value); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if written(value) > MaxDocument {
		return fmt.Errorf("is over the limit of %s with its aliases written out", mebibytes(MaxDocument))
	}
	if err := decoder.Decode(&more); err == nil {
		return errors.New(`a second document begins without a line "---" before it`)
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// written estimates, from below, how many bytes of JSON a value takes. It does not go on once that is too many, since
// aliases can make a tree that is too large to be walked.
func written(value any) int {
	total := 1
	switch v := value.(type) {
	case string:
		total += len(v)
	case []any:
		for i := 0; i < len(v) && total <= MaxDocument; i++ {
			total += written(v[i])
		}
	case map[any]any:
		for key, element := range v {
			if total += written(key) + written(element); total > MaxDocument {
				break
			}
		}
	}
	return total
}

// yamlErrors rewrites the parser's messages to the lines of the source. Some come as several in one.
func (c chunk) yamlErrors(err error) []error {
	messages := []string{strings.TrimPrefix(err.Error(), "yaml: ")}
	if several, ok := errors.AsType[*yamlparser.TypeError](err); ok {
		messages = several.Errors
	}
	var errs []error
	for _, message := range messages {
		errs = append(errs, c.yamlError(message))
	}
	return errs
}

func (c chunk) yamlError(message string) error {
	match := regexp.MustCompile(`^line (\d+): (?s:(.*))$`).FindStringSubmatch(message)
	if match == nil {
		return errors.New(message)
	}
	number, err := strconv.Atoi(match[1])
	if err != nil {
		return errors.New(message)
	}
	message = match[2]
	// Lines of the scanner count from 1 and those of the parser from 0; the empty line in front added one to both.
	if !fromParser(message) {
		number--
	}
	// What is missing at the end is missed in the line behind it.
	number = min(number, bytes.Count(bytes.TrimRight(c.text, "\r\n"), []byte("\n"))+1)
	if c.tabIndents(number) && !strings.Contains(message, "tab") {
		message += " (a tab indents this line; YAML wants spaces)"
	}
	return fmt.Errorf("line %d: %s", c.line+number-1, message)
}

// fromParser tells the parser's messages from the scanner's, which are worded alike.
func fromParser(message string) bool {
	return regexp.MustCompile(`^did not find expected (<|node content|key|'-' indicator|',' or)`).MatchString(message)
}

// tabIndents reports whether a tab stands before the content of a line of the chunk, counted from 1.
func (c chunk) tabIndents(number int) bool {
	lines := bytes.Split(c.text, []byte("\n"))
	if number < 1 || number > len(lines) {
		return false
	}
	line := lines[number-1]
	return bytes.IndexByte(line[:len(line)-len(bytes.TrimLeft(line, " \t"))], '\t') >= 0
}
