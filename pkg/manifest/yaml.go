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

// maxYAMLErrors bounds the errors of one document. For the line of each, the document is read once more.
const maxYAMLErrors = 20

// yamlPart converts a chunk of YAML to JSON.
func (c chunk) yamlPart() part {
	if len(c.text) > MaxDocument {
		return part{errs: []error{tooLarge(len(c.text))}}
	}
	// The parser's errors name no line if the fault is in the first line. An empty line at the start avoids this.
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

// checkYAML returns an error for two faults that the conversion to JSON does not report: text after the end of the
// document, which it drops, and aliases that expand to more than MaxDocument.
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

// written returns a lower bound of the size of a value as JSON. It stops above MaxDocument, since aliases can make a
// tree that is too large to walk.
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

// yamlErrors changes the line numbers in the parser's messages to those of the source. One error may hold several
// messages.
func (c chunk) yamlErrors(err error) []error {
	messages := []string{strings.TrimPrefix(err.Error(), "yaml: ")}
	if several, ok := errors.AsType[*yamlparser.TypeError](err); ok {
		messages = several.Errors
	}
	var errs []error
	for _, message := range messages[:min(len(messages), maxYAMLErrors)] {
		errs = append(errs, c.yamlError(message))
	}
	if more := len(messages) - len(errs); more > 0 {
		errs = append(errs, fmt.Errorf("and %d more errors", more))
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
	// For something missing at the end, the parser names the line after the last one.
	number = min(number, bytes.Count(bytes.TrimRight(c.text, "\r\n"), []byte("\n"))+1)
	if c.tabIndents(number) && !strings.Contains(message, "tab") {
		message += " (a tab indents this line; YAML wants spaces)"
	}
	return fmt.Errorf("line %d: %s", c.line+number-1, message)
}

// fromParser reports whether a message comes from the parser and not from the scanner. Their wording is alike.
func fromParser(message string) bool {
	return regexp.MustCompile(`^did not find expected (<|node content|key|'-' indicator|',' or)`).MatchString(message)
}

// tabIndents reports whether the indentation of a line of the chunk, counted from 1, has a tab.
func (c chunk) tabIndents(number int) bool {
	lines := bytes.Split(c.text, []byte("\n"))
	if number < 1 || number > len(lines) {
		return false
	}
	line := lines[number-1]
	return bytes.IndexByte(line[:len(line)-len(bytes.TrimLeft(line, " \t"))], '\t') >= 0
}
