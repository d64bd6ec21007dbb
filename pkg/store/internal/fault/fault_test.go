package fault_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/homeostat/homeostat/pkg/store/internal/fault"
	"github.com/homeostat/homeostat/pkg/store/internal/kubejson"
)

const marker = "7417417"

type inline struct {
	Embedded int `json:"embedded"`
}

type node struct {
	inline   `json:",inline"`
	Time     *time.Time      `json:"time,omitempty"`
	Size     int8            `json:"size,omitempty"`
	Nodes    []*node         `json:"nodes,omitempty"`
	ByName   map[string]node `json:"byName,omitempty"`
	Untagged bool
	Ignored  chan int `json:"-"`
}

func TestHideJSON(t *testing.T) {
	deep := strings.Repeat(`{"nodes":[`, 30) + `{"size":"` + marker + `"}` + strings.Repeat(`]}`, 30)
	for value, want := range map[string]string{
		`{"time":"` + marker + `"}`:                                 "field time: the value is not one of type *time.Time; ",
		`{"size":` + marker + `}`:                                   "field size: the value is not one of type int8; ",
		`{"embedded":"` + marker + `"}`:                             "field embedded: the value is not one of type int; ",
		`{"Untagged":"` + marker + `"}`:                             "field Untagged: the value is not one of type bool; ",
		`{"nodes":[{},{"byName":{"` + marker + `":{"size":"x"}}}]}`: "field nodes[1].byName[*].size: the value is not one of type int8; ",
		`{"nodes":"` + marker + `"}`:                                "field nodes: the value is not one of type []*fault_test.node; ",
		`"` + marker + `"`:                                          "the value is not one of type fault_test.node; ",
		`{"` + marker + `":1}`:                                      "it has a field that is unknown or there twice",
		`{"nodes":[{"size":1,"size":` + "2" + `}]}`:                 "field nodes[0]: it has a field that is unknown or there twice",
		`{"size":1` + marker + `,`:                                  "the JSON is malformed at byte ",
		`{"size":1e99999` + marker + `}`:                            "field size: the exponent has more than three digits",
		deep:                                                        "field nodes[0].nodes[0].",
	} {
		strict, err := kubejson.UnmarshalStrict([]byte(value), new(node))
		err = errors.Join(append(strict, err)...)
		if err == nil {
			t.Fatalf("%s decodes", value)
		}
		hidden := fault.HideJSON(err, []byte(value), reflect.TypeFor[node](), kubejson.Options{Strict: true})
		if text := hidden.Error(); !strings.HasPrefix(text, want) || strings.Contains(text, marker) || errors.Unwrap(hidden) != nil {
			t.Errorf("%.80s: %s, want %s", value, text, want)
		}
	}
}

func TestOf(t *testing.T) {
	secret := errors.New(marker)
	_, unsupported := json.Marshal([]any{map[string]any{marker: make(chan int)}})
	for want, err := range map[string]error{
		fault.Withheld:           secret,
		"what it is":             fmt.Errorf("%s: %w", marker, &fault.Error{Fault: "what it is", Err: secret}),
		"the value is cut short": fmt.Errorf("%s: %w", marker, io.ErrUnexpectedEOF),
		"safe":                   fmt.Errorf("%s: %w", marker, fault.Hide(&fault.Error{Fault: "safe", Err: secret})),
	} {
		if is := fault.Of(err); is != want {
			t.Errorf("%v: %s, want %s", err, is, want)
		}
	}
	if is := fault.Of(unsupported); strings.Contains(is, marker) {
		t.Error(is)
	}
	if fault.Hide(nil) != nil {
		t.Error("nil is hidden")
	}
}

func TestRecover(t *testing.T) {
	err := func() (err error) {
		defer fault.Recover("decoding", &err)
		panic(marker)
	}()
	if err == nil || err.Error() != "decoding panicked: "+marker || fault.Of(err) != "decoding panicked" {
		t.Error(err)
	}
}
