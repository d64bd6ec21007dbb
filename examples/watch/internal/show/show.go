// Package show prints changes as lines of text, as JSON or as YAML.
package show

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"sigs.k8s.io/yaml"

	"github.com/homeostat/homeostat/examples/watch/internal/change"
)

// Formats returns the formats that New supports.
func Formats() []string { return []string{"line", "json", "yaml"} }

// Printer prints to a writer and returns the writer's errors.
type Printer interface {
	// Change prints one change.
	Change(c change.Change) error
	// Batch prints the changes of one batch, which ends at a revision.
	Batch(changes []change.Change, revision int64) error
}

// New returns a printer for a format.
func New(format string, out io.Writer) (Printer, error) {
	switch format {
	case "line":
		return line{out}, nil
	case "json":
		return document{func(doc any) error { return writeJSON(out, doc) }}, nil
	case "yaml":
		return document{func(doc any) error { return writeYAML(out, doc) }}, nil
	}
	return nil, fmt.Errorf("%q is not one of %q", format, Formats())
}

type line struct{ out io.Writer }

func (l line) Change(c change.Change) error {
	kv := c.Event.Kv
	if c.Event.Type == mvccpb.DELETE {
		_, err := fmt.Fprintf(l.out, "DELETE key=%q mod_revision=%d\n", kv.Key, kv.ModRevision)
		return err
	}
	_, err := fmt.Fprintf(l.out, "PUT key=%q value=%q mod_revision=%d length=%d\n", kv.Key, kv.Value, kv.ModRevision, len(kv.Value))
	return err
}

func (l line) Batch(changes []change.Change, revision int64) error {
	for _, c := range changes {
		if err := l.Change(c); err != nil {
			return err
		}
	}
	keys := "keys"
	if len(changes) == 1 {
		keys = "key"
	}
	_, err := fmt.Fprintf(l.out, "-- %d %s up to revision %d\n", len(changes), keys, revision)
	return err
}

// document prints each change, or each batch, as one document.
type document struct{ write func(doc any) error }

func (d document) Change(c change.Change) error { return d.write(newChangeDoc(c)) }

func (d document) Batch(changes []change.Change, revision int64) error {
	doc := batchDoc{Revision: revision, Changes: []changeDoc{}}
	for _, c := range changes {
		doc.Changes = append(doc.Changes, newChangeDoc(c))
	}
	return d.write(doc)
}

// changeDoc is a change in JSON and YAML. Programs depend on its field names. Keys
// and values that are not UTF-8 go into the fields whose names end in Base64.
type changeDoc struct {
	Type           string  `json:"type"`
	Op             string  `json:"op"`
	Key            *string `json:"key,omitempty"`
	KeyBase64      []byte  `json:"keyBase64,omitempty"`
	Value          *string `json:"value,omitempty"`
	ValueBase64    []byte  `json:"valueBase64,omitempty"`
	Length         *int    `json:"length,omitempty"`
	ModRevision    int64   `json:"modRevision"`
	CreateRevision int64   `json:"createRevision,omitempty"`
	Version        int64   `json:"version,omitempty"`
	Lease          int64   `json:"lease,omitempty"`
	Joined         int     `json:"joined,omitempty"` // omitted if 1
}

type batchDoc struct {
	Revision int64       `json:"revision"`
	Changes  []changeDoc `json:"changes"`
}

func newChangeDoc(c change.Change) changeDoc {
	kv := c.Event.Kv
	doc := changeDoc{
		Type: "DELETE", Op: c.Op, ModRevision: kv.ModRevision,
		CreateRevision: kv.CreateRevision, Version: kv.Version, Lease: kv.Lease,
	}
	doc.Key, doc.KeyBase64 = text(kv.Key)
	if c.Event.Type == mvccpb.PUT {
		doc.Type = "PUT"
		doc.Value, doc.ValueBase64 = text(kv.Value)
		length := len(kv.Value)
		doc.Length = &length
	}
	if c.Joined > 1 {
		doc.Joined = c.Joined
	}
	return doc
}

func text(b []byte) (*string, []byte) {
	if !utf8.Valid(b) {
		return nil, b
	}
	s := string(b)
	return &s, nil
}

func writeJSON(out io.Writer, doc any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(doc)
}

func writeYAML(out io.Writer, doc any) error {
	body, err := yaml.Marshal(doc)
	if err != nil {
		return err
	}
	_, err = out.Write(slices.Concat([]byte("---\n"), body))
	return err
}
