package informer

import (
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/homeostat/homeostat/pkg/etcd"
	"github.com/homeostat/homeostat/pkg/store"
)

func TestReadableRange(t *testing.T) {
	s, err := store.New(clientv3.NewCtxClient(t.Context()), store.Options{Scheme: scheme.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	r := NewReplica(s, Options{})
	if got, want := r.readableRange(), etcd.PrefixRange("/registry/"); got != want {
		t.Errorf("without a kind: got %v, want %v", got, want)
	}
	if _, err := For[*corev1.ConfigMap](r); err != nil {
		t.Fatal(err)
	}
	if got, want := r.readableRange(), etcd.PrefixRange("/registry/core/configmaps/"); got != want {
		t.Errorf("with a kind: got %v, want %v", got, want)
	}
}
