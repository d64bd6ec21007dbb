package patch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	kjson "sigs.k8s.io/json"
)

// operation is one element of a JSON patch, as in RFC 6902.
type operation struct {
	Op    string          `json:"op"`
	Path  *string         `json:"path"`
	From  *string         `json:"from"`
	Value json.RawMessage `json:"value"` // nil if it is missing
}

// document is a JSON document that a JSON patch changes. Its values are map[string]any,
// *[]any, string, json.Number, bool and nil.
type document struct {
	root   any
	copied int // bytes of JSON that copy operations have made so far
	moved  int // list elements that made room or filled a gap so far
}

// applyJSON applies a JSON patch. As Kubernetes' API does and RFC 6902 does not, it counts
// list indices below 0 from the end, takes a field that is missing for null in a test,
// and adds a field that replace does not find. It returns the error of ctx if that ends,
// and a *limitError if the patch is too large.
func applyJSON(ctx context.Context, before, patch []byte) ([]byte, error) {
	var operations []operation
	if err := kjson.UnmarshalCaseSensitivePreserveInts(patch, &operations); err != nil {
		return nil, fmt.Errorf("malformed JSON patch: %w", err)
	}
	if n := len(operations); n > maxOperations {
		return nil, limit("the patch has %d operations, more than %d", n, maxOperations)
	}
	d := &document{}
	var err error
	if d.root, err = parse(before); err != nil {
		return nil, err
	}
	for i, o := range operations {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := d.apply(o); err != nil {
			return nil, fmt.Errorf("operation %d, %s: %w", i+1, o.Op, err)
		}
	}
	if tooDeep(d.root, 0) {
		return nil, errDepth()
	}
	return json.Marshal(d.root)
}

func (d *document) apply(o operation) error {
	if o.Path == nil {
		return fmt.Errorf("path is missing")
	}
	path, err := pointer(*o.Path)
	if err != nil {
		return err
	}
	switch o.Op {
	case "remove":
		_, err := d.remove(path)
		return err
	case "add", "replace", "test":
		if o.Value == nil {
			return fmt.Errorf("value is missing")
		}
		value, err := parse(o.Value)
		if err != nil {
			return err
		}
		return d.applyValue(o.Op, path, value)
	case "move", "copy":
		if o.From == nil {
			return fmt.Errorf("from is missing")
		}
		from, err := pointer(*o.From)
		if err != nil {
			return err
		}
		return d.applyFrom(o.Op, path, from)
	}
	return fmt.Errorf("unknown operation; want add, remove, replace, move, copy or test")
}

func (d *document) applyValue(op string, path []string, value any) error {
	switch op {
	case "add":
		return d.add(path, value)
	case "replace":
		return d.replace(path, value)
	}
	there, err := d.get(path)
	if err != nil && (value != nil || !d.lacksField(path)) {
		return err
	}
	if !equal(there, value) {
		return fmt.Errorf("the test of %s failed", describe(path))
	}
	return nil
}

// lacksField reports whether path points to a field that an object may have and lacks.
func (d *document) lacksField(path []string) bool {
	parent, last, err := d.parent(path)
	fields, ok := parent.(map[string]any)
	if err != nil || !ok {
		return false
	}
	_, there := fields[last]
	return !there
}

func (d *document) applyFrom(op string, path, from []string) error {
	if op == "copy" {
		value, err := d.get(from)
		if err != nil {
			return err
		}
		if value, err = d.copyOf(value); err != nil {
			return err
		}
		return d.add(path, value)
	}
	if len(path) > len(from) && slices.Equal(path[:len(from)], from) {
		return fmt.Errorf("%s would move into itself", describe(from))
	}
	if slices.Equal(path, from) {
		_, err := d.get(from)
		return err
	}
	value, err := d.remove(from)
	if err != nil {
		return err
	}
	return d.add(path, value)
}

func (d *document) get(path []string) (any, error) {
	value := d.root
	for i, token := range path {
		var ok bool
		switch parent := value.(type) {
		case map[string]any:
			value, ok = parent[token]
		case *[]any:
			var n int
			if n, ok = index(token, len(*parent)); ok {
				value = (*parent)[n]
			}
		}
		if !ok {
			return nil, missing(path[:i+1])
		}
	}
	return value, nil
}

// parent returns the object or list that contains what path points to.
func (d *document) parent(path []string) (parent any, last string, err error) {
	if len(path) == 0 {
		return nil, "", fmt.Errorf("the path is that of the whole object")
	}
	parent, err = d.get(path[:len(path)-1])
	return parent, path[len(path)-1], err
}

func (d *document) add(path []string, value any) error {
	if len(path) == 0 {
		d.root = value
		return nil
	}
	parent, last, err := d.parent(path)
	if err != nil {
		return err
	}
	switch parent := parent.(type) {
	case map[string]any:
		parent[last] = value
		return nil
	case *[]any:
		n, ok := len(*parent), true
		if last != "-" {
			n, ok = index(last, len(*parent)+1)
		}
		if ok {
			*parent = slices.Insert(*parent, n, value)
			return d.move(len(*parent) - n)
		}
	}
	return missing(path)
}

func (d *document) replace(path []string, value any) error {
	if len(path) == 0 {
		d.root = value
		return nil
	}
	parent, last, err := d.parent(path)
	if err != nil {
		return err
	}
	switch parent := parent.(type) {
	case map[string]any:
		parent[last] = value
		return nil
	case *[]any:
		if n, ok := index(last, len(*parent)); ok {
			(*parent)[n] = value
			return nil
		}
	}
	return missing(path)
}

func (d *document) remove(path []string) (any, error) {
	value, err := d.get(path)
	if err != nil {
		return nil, err
	}
	parent, last, err := d.parent(path)
	if err != nil {
		return nil, err
	}
	switch parent := parent.(type) {
	case map[string]any:
		delete(parent, last)
	case *[]any:
		n, _ := index(last, len(*parent))
		*parent = slices.Delete(*parent, n, n+1)
		err = d.move(len(*parent) - n)
	}
	return value, err
}

// move counts list elements that an operation shifts.
func (d *document) move(elements int) error {
	if d.moved += elements; d.moved > maxMoved {
		return limit("the operations move more than %d elements in lists", maxMoved)
	}
	return nil
}

// copyOf returns a deep copy of a value, unless the copies of all operations become too
// large.
func (d *document) copyOf(value any) (any, error) {
	if err := d.count(value, 0); err != nil {
		return nil, err
	}
	return deepCopy(value), nil
}

// count adds the size of a value at a depth of nesting, and stops at the limits.
func (d *document) count(value any, depth int) error {
	if depth > maxDepth {
		return errDepth()
	}
	size := 2 // brackets, quotes, or about a literal
	switch v := value.(type) {
	case string:
		size += len(v)
	case json.Number:
		size += len(v)
	case map[string]any:
		for name := range v {
			size += len(name) + len(`"":,`)
		}
	}
	if d.copied += size; d.copied > maxCopied {
		return limit("the operations copy more than %d bytes", maxCopied)
	}
	switch v := value.(type) {
	case map[string]any:
		for _, element := range v {
			if err := d.count(element, depth+1); err != nil {
				return err
			}
		}
	case *[]any:
		for _, element := range *v {
			if err := d.count(element, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func deepCopy(value any) any {
	switch v := value.(type) {
	case map[string]any:
		c := make(map[string]any, len(v))
		for name, element := range v {
			c[name] = deepCopy(element)
		}
		return c
	case *[]any:
		c := make([]any, len(*v))
		for i, element := range *v {
			c[i] = deepCopy(element)
		}
		return &c
	}
	return value
}

// tooDeep reports whether a value at a depth of nesting contains one below maxDepth.
func tooDeep(value any, depth int) bool {
	if depth > maxDepth {
		return true
	}
	switch v := value.(type) {
	case map[string]any:
		for _, element := range v {
			if tooDeep(element, depth+1) {
				return true
			}
		}
	case *[]any:
		for _, element := range *v {
			if tooDeep(element, depth+1) {
				return true
			}
		}
	}
	return false
}

// equal compares values. Numbers are equal if they are written alike.
func equal(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for name, element := range a {
			if other, ok := b[name]; !ok || !equal(element, other) {
				return false
			}
		}
		return true
	case *[]any:
		b, ok := b.(*[]any)
		return ok && slices.EqualFunc(*a, *b, equal)
	}
	switch b.(type) {
	case map[string]any, *[]any:
		return false
	}
	return a == b
}

// pointer returns the tokens of a JSON pointer, as in RFC 6901.
func pointer(path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	if path[0] != '/' {
		return nil, fmt.Errorf("the path %.100q does not begin with a slash", path)
	}
	tokens := strings.Split(path[1:], "/")
	for i, token := range tokens {
		tokens[i] = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
	}
	return tokens, nil
}

// index returns the index in a list that a token stands for, and false if it stands for
// none below length.
func index(token string, length int) (n int, ok bool) {
	n, err := strconv.Atoi(token)
	if n < 0 {
		n += length
	}
	return n, err == nil && 0 <= n && n < length
}

func missing(path []string) error { return fmt.Errorf("there is no %s", describe(path)) }

func describe(path []string) string {
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	var b strings.Builder
	for _, token := range path {
		b.WriteString("/" + escape.Replace(token[:min(len(token), 100)]))
		if b.Len() > 200 {
			b.WriteString("...")
			break
		}
	}
	return strconv.Quote(b.String())
}

// parse decodes JSON to the values of a document. Numbers stay as they are written.
func parse(data []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	return withLists(value), nil
}

// withLists replaces each []any by a pointer, so that a list can grow in its place.
func withLists(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name, element := range v {
			v[name] = withLists(element)
		}
	case []any:
		for i, element := range v {
			v[i] = withLists(element)
		}
		return &v
	}
	return value
}
