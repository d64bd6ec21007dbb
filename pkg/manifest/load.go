package manifest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/homeostat/homeostat/pkg/store"
)

const (
	// MaxDocument is the maximum size of a document in bytes, both as written and with its YAML aliases expanded. It is
	// etcd's default limit for a request, so nothing larger could be stored.
	MaxDocument = 3 << 19

	// MaxSource is the maximum size of a file or of standard input in bytes.
	MaxSource = 16 << 20
)

// Document is one object and where it was written.
type Document struct {
	// Source is the name of the file, or "stdin".
	Source string
	// Index is the number of the document in its source, from 1. The items of a List share it.
	Index int
	// Field is the path of an item in the List that contains it, such as "items[2]"; otherwise it is empty.
	Field string
	// Object has the store's Go type for its apiVersion and kind.
	Object store.Object

	written map[string]any // the object as it was written; nil if Load did not make the Document
}

// Load reads the manifests at paths, in order, and decodes them to the types of the store's kinds. It returns the good
// documents, and the errors of the others; the package comment has the rules. A path with neither documents nor errors
// is an error itself. Load reads stdin if one path is "-"; otherwise stdin may be nil. It sends nothing to etcd.
func Load(s *store.Store, paths []string, stdin io.Reader) ([]Document, []*Error) {
	l := loader{store: s, stdin: stdin}
	for _, path := range paths {
		found := len(l.docs) + len(l.errs)
		l.path(path)
		if len(l.docs)+len(l.errs) == found {
			l.fail(place{source: sourceName(path)}, "", errors.New("holds no document"))
		}
	}
	return l.docs, l.errs
}

// loader collects what one Load finds.
type loader struct {
	store     *store.Store
	stdin     io.Reader
	stdinRead bool

	docs []Document
	errs []*Error
}

// place is what an error is about: a source, and the number of a document in it or 0.
type place struct {
	source string
	index  int
}

func (l *loader) fail(at place, field string, err error) {
	l.errs = append(l.errs, &Error{Source: at.source, Index: at.index, Field: field, Err: err})
}

func (l *loader) path(path string) {
	if path == "-" {
		l.standardInput()
		return
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		l.fail(place{source: path}, "", withoutPath(err))
	case info.IsDir():
		l.directory(path)
	case !info.Mode().IsRegular() && !isDescriptor(path):
		l.fail(place{source: path}, "", errNotRegular)
	default:
		l.file(path)
	}
}

func (l *loader) standardInput() {
	at := place{source: sourceName("-")}
	switch {
	case l.stdinRead:
		l.fail(at, "", errors.New(`"-" is given twice, but can be read only once`))
	case l.stdin == nil:
		l.fail(at, "", errors.New("there is no standard input"))
	default:
		l.stdinRead = true
		l.read(at, l.stdin)
	}
}

func (l *loader) directory(path string) {
	at := place{source: path}
	entries, err := os.ReadDir(path)
	if err != nil {
		l.fail(at, "", withoutPath(err))
		return
	}
	files := 0
	for _, entry := range entries {
		name := filepath.Join(path, entry.Name())
		if !isManifest(entry.Name()) {
			continue
		}
		// Stat and not the entry's own type: a link to a file counts as a file.
		info, err := os.Stat(name)
		if err == nil && info.IsDir() {
			continue
		}
		files++
		if err == nil && !info.Mode().IsRegular() {
			l.fail(place{source: name}, "", errNotRegular)
			continue
		}
		l.file(name)
	}
	if files == 0 {
		l.fail(at, "", errors.New("the directory holds no *.yaml, *.yml or *.json file"))
	}
}

func (l *loader) file(path string) {
	at := place{source: path}
	f, err := os.Open(path)
	if err != nil {
		l.fail(at, "", withoutPath(err))
		return
	}
	defer f.Close() //nolint:errcheck // Only read from.
	l.read(at, f)
}

func (l *loader) read(at place, r io.Reader) {
	data, err := io.ReadAll(io.LimitReader(r, MaxSource+1))
	switch {
	case err != nil:
		l.fail(at, "", withoutPath(err))
	case len(data) > MaxSource:
		l.fail(at, "", fmt.Errorf("is over the limit of %s", mebibytes(MaxSource)))
	case isUTF16(data):
		l.fail(at, "", errors.New("is UTF-16 text; save it as UTF-8"))
	default:
		l.source(at, data)
	}
}

// source numbers the documents of one source and decodes them.
func (l *loader) source(at place, data []byte) {
	for _, c := range split(data) {
		for _, p := range c.parts() {
			if p.isNull() {
				continue
			}
			at.index++
			for _, err := range p.errs {
				l.fail(at, "", err)
			}
			if len(p.errs) == 0 {
				l.decode(at, "", p.json, 0)
			}
		}
	}
}

// errNotRegular is the error of a pipe, which has no end until somebody writes to it, of a device and the like.
var errNotRegular = errors.New(`is not a regular file; use "-" to read from a pipe`)

// isDescriptor reports whether a path names a file that the process has open. A shell passes the output of a command as
// such a path.
func isDescriptor(path string) bool {
	return path == "/dev/stdin" || strings.HasPrefix(path, "/dev/fd/") || strings.HasPrefix(path, "/proc/self/fd/")
}

func isManifest(name string) bool {
	return !strings.HasPrefix(name, ".") && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name))
}

func sourceName(path string) string {
	if path == "-" {
		return "stdin"
	}
	return path
}

// withoutPath drops the operation and the path of a file error: the message has the source already.
func withoutPath(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err
	}
	return err
}

func mebibytes(n int) string {
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}
