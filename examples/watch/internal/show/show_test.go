package show_test

import (
	"errors"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/homeostat/homeostat/examples/watch/internal/change"
	"github.com/homeostat/homeostat/examples/watch/internal/show"
)

func sample() []change.Change {
	return []change.Change{
		change.Of(&clientv3.Event{Type: mvccpb.PUT, Kv: &mvccpb.KeyValue{
			Key: []byte("/mykey"), Value: []byte("updated_value"), CreateRevision: 2, ModRevision: 5, Version: 3,
		}}),
		change.Of(&clientv3.Event{Type: mvccpb.DELETE, Kv: &mvccpb.KeyValue{Key: []byte("/mykey"), ModRevision: 6}}),
	}
}

func TestFormats(t *testing.T) {
	for format, want := range map[string]string{
		"line": `PUT key="/mykey" value="updated_value" mod_revision=5 length=13
DELETE key="/mykey" mod_revision=6
PUT key="/mykey" value="updated_value" mod_revision=5 length=13
-- 1 key up to revision 7
`,
		"json": `{"type":"PUT","op":"update","key":"/mykey","value":"updated_value","length":13,"modRevision":5,"createRevision":2,"version":3}
{"type":"DELETE","op":"delete","key":"/mykey","modRevision":6}
{"revision":7,"changes":[{"type":"PUT","op":"update","key":"/mykey","value":"updated_value","length":13,"modRevision":5,"createRevision":2,"version":3}]}
`,
		"yaml": `---
createRevision: 2
key: /mykey
length: 13
modRevision: 5
op: update
type: PUT
value: updated_value
version: 3
---
key: /mykey
modRevision: 6
op: delete
type: DELETE
---
changes:
- createRevision: 2
  key: /mykey
  length: 13
  modRevision: 5
  op: update
  type: PUT
  value: updated_value
  version: 3
revision: 7
`,
	} {
		var out strings.Builder
		p, err := show.New(format, &out)
		if err != nil {
			t.Fatal(err)
		}
		changes := sample()
		for _, c := range changes {
			err = errors.Join(err, p.Change(c))
		}
		err = errors.Join(err, p.Batch(changes[:1], 7))
		if err != nil || out.String() != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", format, err, &out, want)
		}
	}
	if _, err := show.New("xml", nil); err == nil {
		t.Error("xml: no error")
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space") }

func TestErrorsOfTheWriter(t *testing.T) {
	for _, format := range show.Formats() {
		p, err := show.New(format, full{})
		if err != nil {
			t.Fatal(err)
		}
		if p.Change(sample()[0]) == nil || p.Batch(sample(), 7) == nil {
			t.Errorf("%s: a failed write is no error", format)
		}
	}
}
