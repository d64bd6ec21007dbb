package apiserver

import (
	"encoding/json"
	"net/http"
	"strings"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// groupList is what clients discover in one request: all groups with their resources. It
// does not change once the server is built.
type groupList struct {
	groups []apidiscoveryv2.APIGroupDiscovery
}

// add adds a version of a group. The versions of a group come one after the other, the
// preferred one first.
func (l *groupList) add(gv schema.GroupVersion, resources []apidiscoveryv2.APIResourceDiscovery) {
	if n := len(l.groups); n == 0 || l.groups[n-1].Name != gv.Group {
		l.groups = append(l.groups, apidiscoveryv2.APIGroupDiscovery{})
		l.groups[n].Name = gv.Group
	}
	group := &l.groups[len(l.groups)-1]
	group.Versions = append(group.Versions, apidiscoveryv2.APIVersionDiscovery{
		Version: gv.Version, Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent, Resources: resources})
}

// ServeHTTP answers a client that has asked for an APIGroupDiscoveryList. Version v2beta1,
// which older clients ask for, has the same fields.
func (l *groupList) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	version := "v2"
	if accept := r.Header.Get("Accept"); !strings.Contains(accept, "v=v2;") && strings.Contains(accept, "v=v2beta1") {
		version = "v2beta1"
	}
	list := apidiscoveryv2.APIGroupDiscoveryList{Items: l.groups}
	list.APIVersion, list.Kind = "apidiscovery.k8s.io/"+version, "APIGroupDiscoveryList"
	w.Header().Set("Content-Type", "application/json;g=apidiscovery.k8s.io;v="+version+";as=APIGroupDiscoveryList")
	_ = json.NewEncoder(w).Encode(list) // the client is gone
}
