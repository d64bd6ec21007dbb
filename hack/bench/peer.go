package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// The ways in which client-go gets the initial list: in pages, all at once, or streamed as
// watch events.
const (
	pages  = "pages of 500"
	whole  = "one list"
	stream = "watch list"
)

// listerWatcher serves client-go's reflector from etcd instead of an API server. It is as
// fast as client-go's contract allows: lists and watches connect by revisions, each value
// is decoded once, with Kubernetes' serializer, and a deletion does not read the old value.
type listerWatcher struct {
	client  *clientv3.Client
	setting string
	decoder runtime.Decoder
}

func newListerWatcher(client *clientv3.Client, setting string) (*listerWatcher, error) {
	scheme := runtime.NewScheme()
	if err := appsv1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	return &listerWatcher{
		client: client, setting: setting,
		decoder: json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{}),
	}, nil
}

// newInformer returns the same shared informer as a generated factory.
func newInformer(client *clientv3.Client, setting string) (cache.SharedIndexInformer, error) {
	lw, err := newListerWatcher(client, setting)
	if err != nil {
		return nil, err
	}
	return cache.NewSharedIndexInformerWithOptions(lw, &appsv1.Deployment{}, cache.SharedIndexInformerOptions{
		Indexers: cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc},
	}), nil
}

// IsWatchListSemanticsUnSupported tells the reflector whether it may request initial
// events.
func (l *listerWatcher) IsWatchListSemanticsUnSupported() bool { return l.setting != stream }

func (l *listerWatcher) List(o metav1.ListOptions) (runtime.Object, error) {
	return l.ListWithContext(context.Background(), o)
}

func (l *listerWatcher) Watch(o metav1.ListOptions) (watch.Interface, error) {
	return l.WatchWithContext(context.Background(), o)
}

// ListWithContext lists one page or everything. A continue token has the page's revision
// and first key.
func (l *listerWatcher) ListWithContext(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	if l.setting == whole {
		return l.listAll(ctx)
	}
	from, options := deploymentPrefix, []clientv3.OpOption{clientv3.WithRange(clientv3.GetPrefixRangeEnd(deploymentPrefix)), clientv3.WithLimit(o.Limit)}
	revision := int64(0)
	if o.Continue != "" {
		at, key, _ := strings.Cut(o.Continue, " ")
		var err error
		if revision, err = strconv.ParseInt(at, 10, 64); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		from, options = key, append(options, clientv3.WithRev(revision))
	}
	resp, err := l.client.Get(ctx, from, options...)
	if err != nil {
		return nil, err
	}
	if revision == 0 {
		revision = resp.Header.Revision
	}
	list := newList(revision, len(resp.Kvs))
	if err := l.decodeInto(list, resp.Kvs); err != nil {
		return nil, err
	}
	if resp.More {
		list.Continue = fmt.Sprintf("%d %s\x00", revision, resp.Kvs[len(resp.Kvs)-1].Key)
	}
	return list, nil
}

func newList(revision int64, capacity int) *appsv1.DeploymentList {
	return &appsv1.DeploymentList{
		ListMeta: metav1.ListMeta{ResourceVersion: strconv.FormatInt(revision, 10)},
		Items:    make([]appsv1.Deployment, 0, capacity),
	}
}

func (l *listerWatcher) listAll(ctx context.Context) (runtime.Object, error) {
	list := (*appsv1.DeploymentList)(nil)
	_, err := l.streamAll(ctx, func(revision, count int64, kvs []*mvccpb.KeyValue) error {
		if list == nil {
			list = newList(revision, int(count))
		}
		return l.decodeInto(list, kvs)
	})
	if list == nil {
		list = newList(0, 0)
	}
	return list, err
}

// streamAll reads everything at etcd's newest revision, in chunks.
func (l *listerWatcher) streamAll(ctx context.Context, each func(revision, count int64, kvs []*mvccpb.KeyValue) error) (int64, error) {
	end := clientv3.WithRange(clientv3.GetPrefixRangeEnd(deploymentPrefix))
	head, err := l.client.Get(ctx, deploymentPrefix, end, clientv3.WithCountOnly())
	if err != nil {
		return 0, err
	}
	revision := head.Header.Revision
	ctx, cancel := context.WithCancel(ctx)
	chunks, err := l.client.GetStream(ctx, deploymentPrefix, end, clientv3.WithRev(revision))
	if err != nil {
		cancel()
		return 0, err
	}
	defer func() {
		cancel()
		for range chunks {
		}
	}()
	for chunk := range chunks {
		if err := chunk.Err(); err != nil {
			return 0, err
		}
		if err := each(revision, head.Count, chunk.Kvs); err != nil {
			return 0, err
		}
	}
	return revision, nil
}

func (l *listerWatcher) decodeInto(list *appsv1.DeploymentList, kvs []*mvccpb.KeyValue) error {
	for _, kv := range kvs {
		list.Items = append(list.Items, appsv1.Deployment{})
		if err := l.decode(kv, &list.Items[len(list.Items)-1]); err != nil {
			return err
		}
	}
	return nil
}

var deploymentKind = appsv1.SchemeGroupVersion.WithKind("Deployment")

func (l *listerWatcher) decode(kv *mvccpb.KeyValue, into *appsv1.Deployment) error {
	if _, _, err := l.decoder.Decode(kv.Value, &deploymentKind, into); err != nil {
		return fmt.Errorf("decode %s: %w", kv.Key, err)
	}
	into.ResourceVersion = strconv.FormatInt(kv.ModRevision, 10)
	return nil
}
