// Package preserve encodes an object over a stored value, and preserves the fields of the
// value that the object's Go type lacks.
//
// A program that was built before a field existed decodes a value without that field, and
// would delete it with its next write. Instead, it applies only its own change to the
// stored value. The change is the difference between the encodings of the object before
// and after:
//
//   - A field that is not changed keeps its stored form, with all unknown fields in it.
//   - A field that is removed is removed with all unknown fields in it. A struct that is
//     not a pointer is never removed as a whole: only its known fields are.
//   - In a list, each new element replaces an old one and keeps its unknown fields. The
//     old element is the one with the same key, if the elements have one; or else an
//     equal one; or else, if the list keeps its length, the one at the same index. The
//     key is the field that the struct tag patchMergeKey names, as in Kubernetes' types,
//     or the first of name, key, id, uid and type by which the elements of the list
//     differ. An element without an old one is written as it is.
package preserve
