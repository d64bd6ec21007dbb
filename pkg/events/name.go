package events

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
)

// newName returns a name for an Event about an object. It consists of the object's name,
// the time, so that lists show the Events about an object in their order, and a random
// part, since several recorders may record the same object at the same time.
func newName(object string, at time.Time) string {
	suffix := fmt.Sprintf(".%016x%08x", at.UnixNano(), rand.Uint32())
	base := object[:min(len(object), validation.DNS1123SubdomainMaxLength-len(suffix))]
	base = strings.TrimRight(base, "-.")
	if len(validation.IsDNS1123Subdomain(base)) > 0 {
		base = "event" // some kinds allow names that are not valid for Events
	}
	return base + suffix
}
