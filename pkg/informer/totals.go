package informer

import (
	"github.com/homeostat/homeostat/pkg/store"
)

// valueForm is how etcd stores a value. Checkpoints have it as JSON.
type valueForm struct {
	Form   store.Form
	Leased bool // the key has a lease
}

// totals are sums over the objects of a kind.
type totals struct {
	bytes int64
	forms map[*valueForm]int // interned; see kind.form
}

func (t *totals) add(e *entry) {
	t.bytes += int64(e.size)
	if t.forms == nil {
		t.forms = map[*valueForm]int{}
	}
	t.forms[e.form]++
}

func (t *totals) remove(e *entry) {
	t.bytes -= int64(e.size)
	if t.forms[e.form]--; t.forms[e.form] == 0 {
		delete(t.forms, e.form)
	}
}

// byForm returns how many objects are stored in which form.
func (t *totals) byForm() map[store.Form]int {
	counts := make(map[store.Form]int, len(t.forms))
	for form, n := range t.forms {
		if form != nil {
			counts[form.Form] += n
		}
	}
	return counts
}

// form returns the one pointer that entries of the kind have for a form. A kind has few
// forms and many entries.
func (k *kind) form(f valueForm) *valueForm {
	if known, ok := k.forms.Load(f); ok {
		return known.(*valueForm)
	}
	known, _ := k.forms.LoadOrStore(f, &f)
	return known.(*valueForm)
}

// storedForm returns the zero valueForm if the form is not known.
func (e *entry) storedForm() valueForm {
	if e.form == nil {
		return valueForm{}
	}
	return *e.form
}
