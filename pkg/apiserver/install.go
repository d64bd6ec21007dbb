package apiserver

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	restful "github.com/emicklei/go-restful/v3"
	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints"
	"k8s.io/apiserver/pkg/endpoints/discovery"
	"k8s.io/apiserver/pkg/endpoints/discovery/aggregated"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/homeostat/homeostat/pkg/store"
)

const (
	// maxBodyBytes is the limit of Kubernetes for the body of a write.
	maxBodyBytes = 3 << 20
	// minWatchTime is how long a watch lasts at least that names no timeout. The handlers
	// choose a random time from it to its double, so that not all clients come back at
	// once.
	minWatchTime = 30 * time.Minute
)

// installation installs the kinds of a store as resources.
type installation struct {
	types      *types
	store      *store.Store
	table      func(*kind) table
	converter  managedfields.TypeConverter
	authorizer authorizer.Authorizer
	container  *restful.Container
	codecs     serializer.CodecFactory // of the protocol

	root           discovery.GroupManager
	groups, legacy *groupList
}

func (s *Server) newInstallation(t *types, converter managedfields.TypeConverter) *installation {
	codecs := serializer.NewCodecFactory(t.protocol)
	i := &installation{
		types: t, store: s.store, converter: converter, authorizer: s.authorizer, container: restful.NewContainer(), codecs: codecs,
		table:  func(k *kind) table { return table{columnsOf(k), s.options.Clock} },
		groups: &groupList{}, legacy: &groupList{},
	}
	addresses := discovery.DefaultAddresses{DefaultAddress: s.options.Address}
	i.root = discovery.NewRootAPIsHandler(addresses, codecs)
	i.container.ServeMux = http.NewServeMux()
	i.container.Router(restful.CurlyRouter{})
	legacy := discovery.NewLegacyRootAPIHandler(addresses, codecs, "/api")
	i.container.Add(aggregated.WrapAggregatedDiscoveryToHandler(legacy, i.legacy, i.legacy).GenerateWebService("/api", metav1.APIVersions{}))
	i.container.Add(aggregated.WrapAggregatedDiscoveryToHandler(i.root, i.groups, i.groups).GenerateWebService("/apis", metav1.APIGroupList{}))
	return i
}

// all installs all groups. The versions of a group are in the order in which clients
// prefer them.
func (i *installation) all(kinds map[schema.GroupVersion][]*kind) error {
	byGroup := map[string][]schema.GroupVersion{}
	for gv := range kinds {
		byGroup[gv.Group] = append(byGroup[gv.Group], gv)
	}
	for _, group := range slices.Sorted(maps.Keys(byGroup)) {
		versions := byGroup[group]
		slices.SortFunc(versions, func(a, b schema.GroupVersion) int {
			return -version.CompareKubeAwareVersionStrings(a.Version, b.Version)
		})
		for _, gv := range versions {
			if err := i.version(gv, kinds[gv]); err != nil {
				return fmt.Errorf("group %s: %w", gv, err)
			}
		}
		if group != "" {
			i.describe(group, versions)
		}
	}
	return nil
}

// version installs one version of a group.
func (i *installation) version(gv schema.GroupVersion, kinds []*kind) error {
	resources, withProtobuf := map[string]rest.Storage{}, true
	for _, k := range kinds {
		withProtobuf = withProtobuf && k.protobuf
		if err := i.resources(k, resources); err != nil {
			return err
		}
	}
	v1, root, list := schema.GroupVersion{Version: "v1"}, "/apis", i.groups
	if gv.Group == "" {
		root, list = "/api", i.legacy
	}
	group := &endpoints.APIGroupVersion{
		Storage: resources, Root: root, GroupVersion: gv, OptionsExternalVersion: &v1,
		Serializer: newNegotiated(i.types, withProtobuf), ParameterCodec: runtime.NewParameterCodec(i.types.protocol),
		Typer: i.types, Creater: i.types, Convertor: i.types, ConvertabilityChecker: i.types, Defaulter: i.types,
		UnsafeConvertor: i.types, Namer: runtime.Namer(meta.NewAccessor()), TypeConverter: i.converter,
		EquivalentResourceRegistry: runtime.NewEquivalentResourceRegistry(), Authorizer: i.authorizer,
		MaxRequestBodyBytes: maxBodyBytes, MinRequestTimeout: minWatchTime, AllServedVersionsByResource: map[string][]string{},
	}
	described, _, err := group.InstallREST(i.container)
	if err != nil {
		return err
	}
	slices.SortFunc(described, func(a, b apidiscoveryv2.APIResourceDiscovery) int { return cmp.Compare(a.Resource, b.Resource) })
	list.add(gv, described)
	return nil
}

// resources adds the resources of a kind.
func (i *installation) resources(k *kind, to map[string]rest.Storage) error {
	name := k.resource.Resource
	main := &storage{kind: k, store: i.store, table: i.table(k)}
	to[name] = main
	if k.has("status") {
		to[name+"/status"] = statusStorage{main}
	}
	if k.look.scale == nil {
		return nil
	}
	scale, err := newScaleStorage(main, *k.look.scale)
	if err != nil {
		return err
	}
	to[name+"/scale"] = scale
	return nil
}

// describe adds a group to what clients discover.
func (i *installation) describe(group string, versions []schema.GroupVersion) {
	g := metav1.APIGroup{Name: group}
	for _, gv := range versions {
		g.Versions = append(g.Versions, metav1.GroupVersionForDiscovery{GroupVersion: gv.String(), Version: gv.Version})
	}
	g.PreferredVersion = g.Versions[0]
	i.root.AddGroup(g)
	i.container.Add(discovery.NewAPIGroupHandler(i.codecs, g).WebService())
}
