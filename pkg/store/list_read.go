package store

import (
	"context"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/homeostat/homeostat/pkg/etcd"
)

// listing is the rest of a list, with checked options.
type listing struct {
	store      *Store
	kind       *kindInfo
	selection  selection
	namespace  string
	prefix     string     // of the keys of the kind, or of the namespace
	within     etcd.Range // what is still to be read
	descending bool
	revision   int64  // 0 is the newest, until it is known
	token      string // continues behind a page
}

func newListing(s *Store, k *kindInfo, o ListOptions) (l *listing, err error) {
	l = &listing{store: s, kind: k, namespace: o.Namespace, prefix: k.prefix, descending: o.Descending, revision: o.Revision}
	if o.Namespace != "" {
		if err := checkNamespace(k, o.Namespace); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		l.prefix += o.Namespace + "/"
	}
	l.within = etcd.PrefixRange(l.prefix)
	if l.selection, err = newSelection(k, o); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	switch {
	case o.Revision < 0:
		return nil, apierrors.NewBadRequest(fmt.Sprintf("revision %d must not be negative", o.Revision))
	case o.Limit < 0:
		return nil, apierrors.NewBadRequest(fmt.Sprintf("limit %d must not be negative", o.Limit))
	case o.Continue == "":
		return l, nil
	case o.Revision != 0:
		return nil, apierrors.NewBadRequest("a continued list has the revision of its first page: leave Revision empty")
	}
	return l, l.resume(o.Continue)
}

// read decodes the value of a key and reports whether the list selects it.
func (l *listing) read(kv *mvccpb.KeyValue) (there *stored, selected bool, err error) {
	if there, err = l.kind.decodeKV(l.kind.prefix, kv); err != nil {
		return nil, false, err
	}
	selected, err = l.selection.matches(there.obj)
	return there, selected, err
}

// rest calls take for each remaining value, in the order of keys.
func (l *listing) rest(ctx context.Context, take func(*mvccpb.KeyValue) bool) (err error) {
	l.revision, err = etcd.List(ctx, l.store.client, l.within, l.revision, func(kvs []*mvccpb.KeyValue) error {
		for _, kv := range kvs {
			take(kv)
		}
		return nil
	})
	return err
}

// page calls take until take has selected limit values. It returns how many
// values are left, or nil if that is not known.
func (l *listing) page(ctx context.Context, limit int64, take func(*mvccpb.KeyValue) bool) (remaining *int64, err error) {
	for size := min(limit, etcd.MaxPageSize); ; size = min(2*size, etcd.MaxPageSize) {
		resp, err := etcd.ListPage(ctx, l.store.client, l.within, l.revision, size, l.order()...)
		if err != nil {
			return nil, err
		}
		if l.revision == 0 {
			l.revision = resp.Header.Revision
		}
		for i, kv := range resp.Kvs {
			l.pass(kv.Key)
			if !take(kv) {
				continue
			}
			if limit--; limit == 0 {
				return l.leave(kv.Key, resp.Count-int64(i+1)), nil
			}
		}
		if !resp.More {
			return nil, nil
		}
	}
}

func (l *listing) order() []clientv3.OpOption {
	if l.descending {
		return []clientv3.OpOption{clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend)}
	}
	return nil
}

// pass excludes a key, and all before it, from what is left to read.
func (l *listing) pass(key []byte) {
	if l.descending {
		l.within.End = string(key)
	} else {
		l.within.Start = string(key) + "\x00"
	}
}

// leave sets the token that continues after the last key of a page.
func (l *listing) leave(last []byte, left int64) (remaining *int64) {
	if left == 0 {
		return nil
	}
	l.token = continuation{
		Version: continueVersion, Resource: l.kind.resource.String(), Namespace: l.namespace,
		Revision: l.revision, Last: last[len(l.prefix):], Descending: l.descending,
	}.encode()
	if l.selection.all() {
		return &left
	}
	return nil
}
