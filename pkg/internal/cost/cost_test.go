package cost

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestNumbers(t *testing.T) {
	digits := strings.Repeat("7", maxDigits+1)
	for text, want := range map[string]error{
		"1e-999999999": errExponent, "1E+1000": errExponent, "-.5e0001": errExponent, "+1.e99999999999999999999": errExponent,
		digits: errDigits, "0." + digits: errDigits, digits + "Ki": errDigits, "-" + digits + "e5": errDigits,
		"": nil, "-": nil, "1": nil, "1e999": nil, "1e-999": nil, "1Ei": nil, "1E": nil, "e9999": nil, "x1e9999": nil, digits[2:]: nil,
	} {
		if _, _, err := number([]byte(text)); err != want {
			t.Errorf("%.20s: %v, want %v", text, err, want)
		}
		for _, form := range []string{`"T"`, `" T "`, `{"a":"\nT"}`, `["x\"",{"T":1}]`} {
			value := []byte(strings.ReplaceAll(form, "T", text))
			spoilt, err := JSON(value)
			if err != want || (spoilt == nil) != (want == nil) || IsCostly(value) != (want != nil) {
				t.Errorf("%.40s: %.40s, %v, want %v", value, spoilt, err, want)
			}
			if again, err := JSON(spoilt); err != nil {
				t.Errorf("%.40s is still costly: %.40s, %v", spoilt, again, err)
			}
		}
	}
	for value, want := range map[string]string{
		`"\u0031e-99999"`:           `"!\u0031e-99999"`,
		`{"a":1e-99999,"b":[1e+1]}`: `{"a":1e-99999999999999999999,"b":[1e+1]}`,
		`[2e0001,"e1e9999"]`:        `[2e-99999999999999999999,"e1e9999"]`,
		digits:                      digits + "e-99999999999999999999",
		`"1e99999`:                  `"!1e99999`,
		`"1e99999\`:                 ``,
	} {
		if spoilt, _ := JSON([]byte(value)); string(spoilt) != want {
			t.Errorf("%.40s: %s, want %s", value, spoilt, want)
		}
	}
}

// A spoilt number is no quantity, and the rest of a value stays as it is.
func TestSpoiltNumbersAreNoQuantities(t *testing.T) {
	for _, text := range []string{`"1e-99999"`, `1e-99999`, `" 1e99999"`, `1e0001`, strings.Repeat("7", 1001), `"` + strings.Repeat("7", 1001) + `Ki"`} {
		spoilt, _ := JSON([]byte(text))
		var q resource.Quantity
		if err := json.Unmarshal(spoilt, &q); err == nil {
			t.Errorf("%.40s decodes as %s", spoilt, q.String())
		}
	}
}

func TestProtobuf(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "2e2024", Annotations: map[string]string{"a": "1e-999999", "b": " 1e99999", "c": "1e99999 "}}}
	pod.Spec.Containers = []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"cpu": resource.MustParse("123456789123")}}}}
	raw, err := pod.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	spoilt, reason := Protobuf(raw)
	got := new(corev1.Pod)
	if reason != errExponent || got.Unmarshal(spoilt) != nil {
		t.Fatalf("annotations: %q, %v", spoilt, reason)
	}
	if a := got.Annotations; a["a"] != "1e-99999!" || a["b"] != " 1e99999" || a["c"] != "1e99999 " || got.Name != "2e202!" {
		t.Errorf("%q %q", a, got.Name)
	}
	costly := bytes.Replace(raw, []byte(pod.Spec.Containers[0].Resources.Limits.Cpu().String()), []byte("1e-999999999"), 1)
	if len(costly) != len(raw) {
		t.Fatal("the quantity was not replaced")
	}
	if spoilt, _ := Protobuf(costly); got.Unmarshal(spoilt) == nil {
		t.Error("a spoilt quantity decodes")
	}
}

// However much a message looks like numbers, it stays one.
func TestProtobufKeepsItsStructure(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const bytes = "0123456789e.-+ 2:\n\x12KE"
	text := func() string {
		if random.IntN(3) == 0 {
			return fmt.Sprintf("%de%d", random.IntN(100), random.IntN(1<<30))
		}
		n := random.IntN(30)
		if random.IntN(50) == 0 {
			n = random.IntN(300)
		}
		b := make([]byte, n)
		for i := range b {
			b[i] = bytes[random.IntN(len(bytes))]
		}
		return string(b)
	}
	spoilt := 0
	for range 20_000 {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: text(), Namespace: text(), Generation: random.Int64(),
			Annotations: map[string]string{text(): text(), text(): text()}, Finalizers: []string{text(), text()},
			OwnerReferences: []metav1.OwnerReference{{Name: text(), UID: "u"}}}}
		pod.Spec.Containers = []corev1.Container{{Name: text(), Args: []string{text(), text()},
			Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceName(text()): resource.MustParse("12")}}}}
		raw, err := pod.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		data, reason := Protobuf(raw)
		if reason == nil {
			continue
		}
		spoilt++
		if err := new(corev1.Pod).Unmarshal(data); err != nil {
			t.Fatalf("%q of %q: %v", data, raw, err)
		}
	}
	if spoilt == 0 {
		t.Error("nothing was spoilt")
	}
}

// Time grows with the length, whatever the value is.
func TestCostOfLooking(t *testing.T) {
	const size = 1_500_000
	nested := []byte("x")
	for len(nested) < size {
		nested = append(appendVarint([]byte{0x0a}, len(nested)), nested...)
		if len(nested) > 40_000 {
			break
		}
	}
	blank := bytes.Repeat([]byte(" "), size)
	for i := 0; i < 9000; i += 4 { // messages in messages, with blanks behind
		n := len(blank) - i - 4
		copy(blank[i:], []byte{'\n', byte(n)&0x7f | 0x80, byte(n>>7)&0x7f | 0x80, byte(n >> 14)})
	}
	for name, data := range map[string][]byte{
		"digits": bytes.Repeat([]byte("2"), size), "exponents": bytes.Repeat([]byte("1e1234,"), size/7), "quotes": bytes.Repeat([]byte(`"`), size),
		"escapes": bytes.Repeat([]byte(`"\n1`), size/4), "signs": bytes.Repeat([]byte("-"), size), "nested": nested, "blank": blank,
		"open": bytes.Repeat([]byte("["), size),
	} {
		start := time.Now()
		JSON(data)
		Protobuf(data)
		Nesting(data)
		if took := time.Since(start); took > time.Minute {
			t.Errorf("%s: %v", name, took)
		}
	}
}

func appendVarint(b []byte, n int) []byte {
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

func TestNesting(t *testing.T) {
	for value, want := range map[string]error{
		strings.Repeat("[", 1000) + strings.Repeat("]", 1000):                                              nil,
		strings.Repeat("[", 5000) + strings.Repeat("]", 5000):                                              errNesting,
		strings.Repeat("[", 100) + `"` + strings.Repeat("[", 500_000) + `"` + strings.Repeat("]", 100):     errNesting,
		`{"a":["` + strings.Repeat("[", 500_000) + `"]}`:                                                   nil,
		strings.Repeat(`{"properties":{"a":`, 14) + strings.Repeat(" ", 500_000) + strings.Repeat("}", 28): nil,
	} {
		if err := Nesting([]byte(value)); err != want {
			t.Errorf("%.20s: %v, want %v", value, err, want)
		}
	}
}
