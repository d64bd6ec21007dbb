// Package manifest reads Kubernetes manifests from files, directories and standard input into typed objects.
//
// # What is read
//
// A path is a file, a directory or "-" for standard input. A directory stands for its *.yaml, *.yml and *.json files in
// the order of their names; directories in it are not entered, and names that begin with a dot are left out, as a shell
// leaves them out. The name of a file given by itself does not matter. A source is YAML or JSON, told apart by looking:
// documents stand between lines of "---" (or behind "..."), and a document that begins with "{" may be several JSON
// values, one behind the other. A v1 List stands for its items, and so do Lists inside it, a few levels deep.
//
// # Numbers
//
// Documents are counted from 1 within their source. What holds only blank lines, comments, directives or a null is no
// document and takes no number, so a file that opens with "---" or a licence still begins with document 1. Each of
// several JSON values counts. The items of a List share the List's number and differ in their field path, such as
// "items[2].spec.replicas". Line numbers in messages count from the first line of the file.
//
// # What is guaranteed
//
//   - Good documents and errors both come back, each in the order they were found. One bad document never hides
//     another: YAML is cut at its separators before it is parsed. A broken JSON value ends at the next line that begins
//     with "{"; only what follows the twentieth of them between two separators is given up, which is an error too.
//   - A document is returned only if nothing was wrong with it. It has an apiVersion and kind that the scheme knows, and
//     a name or generateName.
//   - Decoding is strict and minds case: unknown fields, duplicate keys and wrong types are errors that name the field.
//     A key that is duplicated in YAML is named with its line instead, and takes its document with it.
//   - An error prints as one line without control characters, whatever the input was.
//   - Nothing is read without bound: see MaxDocument and MaxSource.
//
// # What is not
//
//   - Nothing is defaulted or validated beyond the above; no namespace is filled in.
//   - Objects keep the apiVersion and kind of their manifest, which typed objects from a store may lack.
//   - YAML is read as Kubernetes' own tools read it, by the rules of YAML 1.1: an unquoted yes is a boolean.
//   - Text is UTF-8. UTF-16 is recognised and refused.
package manifest
