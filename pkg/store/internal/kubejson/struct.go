package kubejson

import (
	"reflect"
	"strings"
)

// field is a field of a struct, or of a struct embedded in it.
type field struct {
	token string // the quoted name and the colon
	index []int
	plan  plan
}

// maxFields is the maximum number of fields of a struct, for the bit set that finds
// duplicates.
const maxFields = 128

// structPlan decodes one struct type.
type structPlan struct {
	fields []field // in the order in which Go encodes them
	byName map[string]int
}

func newStruct(t reflect.Type) plan {
	p := &structPlan{byName: map[string]int{}}
	if !p.add(t, nil) || len(p.fields) > maxFields {
		return giveUp
	}
	return p.decode
}

// add adds the fields of a struct. It returns false where Go's rules for JSON are not
// simple: for conflicting names, unusual tags and embedded pointers.
func (p *structPlan) add(t reflect.Type, path []int) bool {
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		name, options, _ := strings.Cut(tag, ",")
		index := append(path[:len(path):len(path)], i)
		switch {
		case tag == "-", !f.Anonymous && !f.IsExported():
			continue
		case strings.Contains(","+options+",", ",string,") || !plain(name):
			return false
		case f.Anonymous && f.Type.Kind() != reflect.Struct:
			return false
		case f.Anonymous && name == "":
			if !p.add(f.Type, index) {
				return false
			}
			continue
		case f.Anonymous && !f.IsExported():
			return false
		case name == "":
			name = f.Name
		}
		if _, twice := p.byName[name]; twice {
			return false
		}
		p.byName[name] = len(p.fields)
		p.fields = append(p.fields, field{`"` + name + `":`, index, later(f.Type)})
	}
	return true
}

// plain reports whether a name has only characters that Go certainly accepts in a JSON
// tag. Go accepts more.
func plain(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-' && r != '.' && r != '/' && r != '$'
	})
}

func (p *structPlan) decode(d *decoder, v reflect.Value) bool {
	if isNull, ok := d.null(); isNull || !ok {
		return ok
	}
	var seen [maxFields / 64]uint64
	next := 0
	more, ok := d.open('{', '}')
	for ; more; more, ok = d.more('}') {
		i, known, isName := p.find(d, next)
		if !isName {
			return false
		}
		if !known {
			if d.strict || !d.skip() {
				return false
			}
			d.unknown = true
			continue
		}
		if seen[i/64]&(1<<(i%64)) != 0 {
			return false // the original merges the second value into the first
		}
		seen[i/64] |= 1 << (i % 64)
		next = i + 1
		f, target := &p.fields[i], v
		for _, step := range f.index {
			target = target.Field(step)
		}
		if !f.plan(d, target) {
			return false
		}
	}
	return ok
}

// find reads a field's name and returns the index of the field. It first tries the fields
// from next on, because Go encodes fields in their order and without white space.
func (p *structPlan) find(d *decoder, next int) (i int, known, ok bool) {
	d.peek()
	rest := d.data[d.pos:]
	for i := next; i < min(next+4, len(p.fields)); i++ {
		if token := p.fields[i].token; len(token) <= len(rest) && rest[len(token)-1] == ':' && string(rest[:len(token)]) == token {
			d.pos += len(token)
			return i, true, true
		}
	}
	name, ok := d.name()
	i, known = p.byName[string(name)]
	return i, known, ok
}
