// Package manifest loads Kubernetes manifests from files, directories and standard input into the types of a store's
// kinds, and applies them as kubectl does.
//
//	docs, errs := manifest.Load(s, []string{"deploy/"}, nil)
//	for _, doc := range docs {
//		applied, err := manifest.Apply(ctx, s, doc, manifest.ApplyOptions{})
//		...
//	}
//
// # What is read
//
// A path is a file, a directory or "-" for standard input. From a directory, the package reads the *.yaml, *.yml and
// *.json files in name order. It does not enter subdirectories, and it skips names that begin with a dot. A file that you
// name directly may have any name. The content decides whether a source is YAML or JSON. Lines of "---" or "..." separate
// documents. A document that begins with "{" may be several JSON values in a row. The items of a v1 List count like
// documents of their own, and so do those of nested Lists, a few levels deep.
//
// # Numbers
//
// Documents are numbered from 1 within their source. Text with only blank lines, comments, directives or a null is not a
// document and has no number, so a file that begins with "---" or a licence still begins with document 1. Of several JSON
// values each has a number. The items of a List share the List's number and differ in their field path, such as
// "items[2].spec.replicas". Line numbers in messages count from the first line of the file.
//
// # What is guaranteed
//
//   - Good documents and errors both come back, each in input order. A bad document never hides another one: YAML is
//     split at its separators before it is parsed. A broken JSON value ends at the next line that begins with "{". After
//     twenty broken values between two separators the rest up to the separator is skipped, which is an error too.
//   - Every returned document is free of errors. It has an apiVersion and kind that the store knows, and a name or
//     generateName.
//   - Decoding is strict and case-sensitive: unknown fields, duplicate keys and wrong types are errors that name the
//     field. For a duplicate key in YAML the error names the line instead.
//   - Of more than twenty errors in the YAML of one document, the twenty-first is a count of the rest.
//   - Quantities and other values that take more time to decode than their length allows are errors; see
//     store.UnmarshalStrict.
//   - An error prints as one line without control characters, whatever the input was.
//   - Reading is bounded: see MaxDocument and MaxSource. Named pipes, devices and sockets are errors, since reading them
//     may never end. A file that the process has open, such as /dev/fd/63, may be a pipe.
//
// # What Apply merges
//
// [Apply] compares three forms of an object: the manifest when it was applied last, the manifest now, and the stored
// object. It treats them field by field:
//
//   - An object keeps the fields that neither manifest has. So does a map, such as labels, even if the manifest drops the
//     map as a whole. Any other object that the manifest drops is removed as a whole.
//   - A list is replaced, unless its Go type has patch tags, as in k8s.io/api. With them, a list merges by the merge key:
//     the elements of the manifest come first, in its order, and then those that others have added, such as a container,
//     an owner or a finalizer.
//   - If two elements of such a list have one key, as ports with one number and two protocols have, the manifest's list
//     replaces the stored one. Nothing is lost, in contrast to a strategic merge patch.
//   - Where the tags say that only one alternative may be set, as in a Deployment's strategy, the fields of the others
//     are removed once the manifest changes it.
//   - A null in the manifest removes the field.
//
// # What is not guaranteed
//
//   - Load neither defaults nor validates beyond the above, and it sets no namespace. A write does both.
//   - Nothing is deleted: an object whose document is gone stays.
//   - Documents are applied one by one. One that fails undoes nothing.
//   - A value in etcd holds its manifest twice. Above 256 KiB, kinds that limit annotations as Kubernetes does refuse it.
//   - Changes of others to a field that the manifest names are overwritten without a warning. Fields have no owners as
//     in a server-side apply.
//   - Objects keep the apiVersion and kind of their manifest, which typed objects from a store may lack.
//   - YAML follows the rules of YAML 1.1, as in Kubernetes' own tools: an unquoted yes is a boolean.
//   - Text must be UTF-8. UTF-16 is recognised and rejected.
package manifest
