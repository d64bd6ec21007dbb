package store_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/homeostat/homeostat/pkg/etcdtest"
	"github.com/homeostat/homeostat/pkg/store"
)

// server serves the whole suite; each spec works below a prefix of its own.
var (
	server *etcdtest.Cluster
	specs  atomic.Int64
)

var _ = BeforeSuite(func() {
	etcdtest.VerifyNoLeaks(GinkgoTB())
	server = etcdtest.Start(GinkgoTB(), etcdtest.Options{})
})

var _ = BeforeEach(func() {
	etcdtest.VerifyNoLeaks(GinkgoTB())
})

func TestStore(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "store")
}

// Site is a namespaced kind with a spec and a status.
type Site = store.Resource[SiteSpec, SiteStatus]

type SiteSpec struct {
	Replicas int32     `json:"replicas,omitempty"`
	Image    string    `json:"image,omitempty"`
	Zone     string    `json:"zone,omitempty"`
	Tags     []string  `json:"tags,omitempty"`
	Opened   time.Time `json:"opened,omitzero"`
}

type SiteStatus struct {
	Ready int32  `json:"ready,omitempty"`
	Note  string `json:"note,omitempty"`
}

// Region is a cluster-scoped kind.
type Region = store.Resource[RegionSpec, RegionStatus]

type RegionSpec struct {
	Sites int `json:"sites,omitempty"`
}

type RegionStatus struct{}

// siteKind has a default and a rule for each verb.
func siteKind() store.Kind[*Site] {
	return store.Kind[*Site]{
		GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Site"},
		Default: func(s *Site) {
			if s.Spec.Zone == "" {
				s.Spec.Zone = "a"
			}
		},
		ValidateCreate: func(s *Site) (errs field.ErrorList) {
			if s.Spec.Replicas < 0 {
				errs = append(errs, field.Invalid(field.NewPath("spec", "replicas"), s.Spec.Replicas, "must not be negative"))
			}
			return errs
		},
		ValidateUpdate: func(s, old *Site) (errs field.ErrorList) {
			if s.Spec.Zone != old.Spec.Zone {
				errs = append(errs, field.Forbidden(field.NewPath("spec", "zone"), "is immutable"))
			}
			return errs
		},
		ValidateDelete: func(s *Site) (errs field.ErrorList) {
			if s.Labels["protected"] == "true" {
				errs = append(errs, field.Forbidden(field.NewPath("metadata", "labels"), "the site is protected"))
			}
			return errs
		},
	}
}

func regionKind() store.Kind[*Region] {
	return store.Kind[*Region]{
		GroupVersionKind: schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Region"},
		ClusterScoped:    true,
	}
}

// newStore returns a store below a prefix of its own, on the suite's client.
func newStore(change ...func(*store.Options)) *store.Store {
	GinkgoHelper()
	return newStoreOn(server.Client(), change...)
}

func newStoreOn(client *clientv3.Client, change ...func(*store.Options)) *store.Store {
	GinkgoHelper()
	scheme := runtime.NewScheme()
	Expect(corev1.AddToScheme(scheme)).To(Succeed())
	o := store.Options{
		Scheme: scheme,
		Kinds:  []store.AnyKind{siteKind(), regionKind()},
		Prefix: fmt.Sprintf("/spec-%d/", specs.Add(1)),
	}
	for _, f := range change {
		f(&o)
	}
	s, err := store.New(client, o)
	Expect(err).NotTo(HaveOccurred())
	return s
}

// sharing puts a store below the prefix of another.
func sharing(s *store.Store) func(*store.Options) {
	return func(o *store.Options) { o.Prefix = s.Prefix() }
}

// newClient returns a client that is closed when the spec ends.
func newClient(change ...func(*clientv3.Config)) *clientv3.Client {
	GinkgoHelper()
	client, err := server.NewClient(etcdtest.ClientOptions{Configure: func(cfg *clientv3.Config) {
		for _, f := range change {
			f(cfg)
		}
	}})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { _ = client.Close() }) // fails for a client that the spec has closed
	return client
}

// to returns an option that makes a client connect through a link.
func to(link *etcdtest.Link) func(*clientv3.Config) {
	return func(cfg *clientv3.Config) { cfg.Endpoints = []string{link.Endpoint()} }
}

func newSite(name string) *Site {
	return &Site{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
}

// created returns a site as it is stored.
func created(ctx context.Context, s *store.Store, name string, change ...func(*Site)) *Site {
	GinkgoHelper()
	site := newSite(name)
	for _, f := range change {
		f(site)
	}
	_, err := s.Create(ctx, site)
	Expect(err).NotTo(HaveOccurred())
	return site
}

func get(ctx context.Context, s *store.Store, name string) *Site {
	GinkgoHelper()
	site, err := store.Get[*Site](ctx, s, store.Key{Namespace: "default", Name: name})
	Expect(err).NotTo(HaveOccurred())
	return site
}

func siteKey(s *store.Store, name string) string {
	return s.Prefix() + "example.com/sites/default/" + name
}

// revision is etcd's own.
func revision(ctx context.Context, s *store.Store) int64 {
	GinkgoHelper()
	rev, err := s.Revision(ctx)
	Expect(err).NotTo(HaveOccurred())
	return rev
}

// put writes bytes that the store would not write.
func put(ctx context.Context, key, value string) int64 {
	GinkgoHelper()
	resp, err := server.Client().Put(ctx, key, value)
	Expect(err).NotTo(HaveOccurred())
	return resp.Header.Revision
}

// raw returns the stored bytes.
func raw(ctx context.Context, key string) string {
	GinkgoHelper()
	resp, err := server.Client().Get(ctx, key)
	Expect(err).NotTo(HaveOccurred())
	Expect(resp.Kvs).To(HaveLen(1))
	return string(resp.Kvs[0].Value)
}

// rawAt returns the bytes that were stored at a revision.
func rawAt(ctx context.Context, key string, rev int64) string {
	GinkgoHelper()
	resp, err := server.Client().Get(ctx, key, clientv3.WithRev(rev))
	Expect(err).NotTo(HaveOccurred())
	Expect(resp.Kvs).To(HaveLen(1))
	return string(resp.Kvs[0].Value)
}

func compact(ctx context.Context, rev int64) {
	GinkgoHelper()
	_, err := server.Client().Compact(ctx, rev, clientv3.WithCompactPhysical())
	Expect(err).NotTo(HaveOccurred())
}

func finalizer(names ...string) func(*Site) {
	return func(s *Site) { s.Finalizers = names }
}

func labelled(key, value string) func(*Site) {
	return func(s *Site) { s.Labels = map[string]string{key: value} }
}
