// Package preserve encodes an object over a stored value and preserves what the value
// has and the object's Go type lacks.
//
// A program that was built before a field existed decodes a value without that field,
// and would delete it with its next write. Instead, it applies its own change, which is
// the difference between the encodings of the object before and after, to the stored
// value:
//
//   - A field that the change leaves as it is keeps its stored form, with all that is
//     in it.
//   - A field that the change removes is removed, with all that was in it. A struct that
//     is not a pointer cannot be removed: only the fields that the type has are.
//   - In a list, each new element takes the place of an old one and keeps what the type
//     lacks of it. The old element is the one with the same key, if the elements have
//     one; or else an equal one; or else, if the list keeps its length, the one at the
//     same index. The key is the field that the struct tag patchMergeKey names, as in
//     Kubernetes' types, or the first of name, key, id, uid and type by which the
//     elements of the list differ. An element without an old one is written as it is.
package preserve
