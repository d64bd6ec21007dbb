package kubejson

import (
	"strings"
	"testing"
)

// checkScan compares special and ahead, which find the ends of strings and values, with
// a plain loop and with the decoder.
func checkScan(t *testing.T, data []byte) {
	t.Helper()
	for i := range data {
		want := i
		for want < len(data) && data[want] >= ' ' && data[want] < 0x80 && data[want] != '"' && data[want] != '\\' {
			want++
		}
		if got := special(data, i); got != want {
			t.Fatalf("%q: special returns %d, want %d", data[i:], got, want)
		}
	}
	reader, scanner := decoder{data: data}, decoder{data: data}
	text, ok := reader.raw()
	ahead := scanner.ahead()
	switch {
	case !ok: // ahead need only return
	case string(text) == "null" || len(text) > valueMax:
		if ahead != nil {
			t.Fatalf("%q: ahead is %q", data, ahead)
		}
	case string(ahead) != string(text) && !runsOn(text, data):
		t.Fatalf("%q: ahead is %q, want %q", data, ahead, text)
	}
}

// runsOn reports whether text is a number or a literal, followed by a byte that cannot
// follow a value.
func runsOn(text, data []byte) bool {
	rest := strings.TrimPrefix(strings.TrimLeft(string(data), " \t\r\n"), string(text))
	return !strings.ContainsRune(`{["`, rune(text[0])) && rest != "" && !strings.ContainsRune(",]} \t\r\n", rune(rest[0]))
}

func TestScan(t *testing.T) {
	for _, data := range hostile() {
		if len(data) > 2*valueMax {
			data = data[:2*valueMax]
		}
		checkScan(t, []byte(data))
	}
	// Each byte, at each offset in a word of eight bytes.
	for c := range 256 {
		for n := range 20 {
			for _, fill := range []string{"x", "!", "\x7f", "#", "[", "]", " "} {
				s := strings.Repeat(fill, n) + string([]byte{byte(c)}) + strings.Repeat(fill, 9)
				checkScan(t, []byte(`["`+s+`",1]`))
				checkScan(t, []byte(`"`+s+`"`))
			}
		}
	}
	for n := valueMax - 10; n < valueMax+10; n++ {
		x := strings.Repeat("x", n)
		for _, data := range []string{`"` + x, `"` + x + `"`, `["` + x + `"]`, `{"` + x + `":[]}`, strings.Repeat("1", n), strings.Repeat("[", n), `"` + x + `\"`, `"` + x + `\"" `, `"` + x + `\`} {
			checkScan(t, []byte(data))
		}
	}
}

func FuzzScan(f *testing.F) {
	f.Add(encode(f, someDeployment().Spec))
	for _, data := range []string{`"a\\"`, `{"a":"}"}`, `[[["]"]]] `, "12,", "\"\u00e9\\u0022\"", `{"a":[1,"\"",{}]}x`} {
		f.Add([]byte(data))
	}
	f.Fuzz(checkScan)
}
