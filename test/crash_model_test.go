package test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	clientv3 "go.etcd.io/etcd/client/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// convergedFor returns the expected objects for these Fleets, one line each.
func convergedFor(fleets map[string]FleetSpec) []string {
	var lines []string
	for name, f := range fleets {
		lines = append(lines, fleetLine(name, f, FleetStatus{Groups: f.Groups, Units: f.Groups * f.Units, Color: f.Color}))
		for g := range f.Groups {
			group := fmt.Sprintf("%s-g%d", name, g)
			lines = append(lines, groupLine(group, GroupSpec{f.Units, f.Hands, f.Color}, GroupStatus{Ready: f.Units, Color: f.Color}))
			for u := range f.Units {
				lines = append(lines, unitLine(fmt.Sprintf("%s-u%d", group, u), UnitSpec{f.Color}, UnitStatus{Color: f.Color}))
			}
			for h := range f.Hands {
				lines = append(lines, handLine(group, h))
			}
		}
	}
	slices.Sort(lines)
	return lines
}

// The lines have no generations: present checks the observed ones.
func fleetLine(name string, spec FleetSpec, status FleetStatus) string {
	status.ObservedGeneration = 0
	return fmt.Sprintf("Fleet %s asks %+v has %+v", name, spec, status)
}

func groupLine(name string, spec GroupSpec, status GroupStatus) string {
	status.ObservedGeneration = 0
	return fmt.Sprintf("Group %s asks %+v has %+v", name, spec, status)
}

func unitLine(name string, spec UnitSpec, status UnitStatus) string {
	status.ObservedGeneration = 0
	return fmt.Sprintf("Unit %s asks %+v has %+v", name, spec, status)
}

func handLine(group string, i int) string { return fmt.Sprintf("Hand %d of %s", i, group) }

// present returns the same lines for the objects in etcd at one revision. It does not
// use homeostat.
func present(ctx context.Context, client *clientv3.Client) []string {
	GinkgoHelper()
	resp, err := client.Get(ctx, crashPrefix, clientv3.WithPrefix())
	Expect(err).NotTo(HaveOccurred())
	var lines []string
	exist := map[types.UID]bool{}
	hands := map[string]int{}
	line := func(meta metav1.ObjectMeta, observed int64, text string) {
		exist[meta.UID] = true
		switch owner := metav1.GetControllerOf(&meta); {
		case meta.DeletionTimestamp != nil:
			text += " is being deleted"
		case owner != nil && !exist[owner.UID]: // owners sort before what they own
			text += " has lost its owner"
		case observed != meta.Generation:
			text += fmt.Sprintf(" at generation %d of %d", observed, meta.Generation)
		}
		lines = append(lines, text)
	}
	for _, kv := range resp.Kvs {
		switch kind := crashKind(kv.Key); kind {
		case "fleets":
			f := decoded[Fleet](kv.Value)
			line(f.ObjectMeta, f.Status.ObservedGeneration, fleetLine(f.Name, f.Spec, f.Status))
		case "groups":
			g := decoded[Group](kv.Value)
			line(g.ObjectMeta, g.Status.ObservedGeneration, groupLine(g.Name, g.Spec, g.Status))
		case "units":
			u := decoded[Unit](kv.Value)
			line(u.ObjectMeta, u.Status.ObservedGeneration, unitLine(u.Name, u.Spec, u.Status))
		case "hands":
			h := decoded[Hand](kv.Value)
			group := metav1.GetControllerOf(&h).Name
			line(h.ObjectMeta, h.Generation, handLine(group, hands[group]))
			hands[group]++
		default:
			lines = append(lines, fmt.Sprintf("%s of an unknown kind", kv.Key))
		}
	}
	slices.Sort(lines)
	return lines
}

func decoded[T any](value []byte) T {
	GinkgoHelper()
	var obj T
	Expect(json.Unmarshal(value, &obj)).To(Succeed(), "%s", value)
	return obj
}

// difference returns the missing and the surplus lines.
func difference(want, have []string) []string {
	count := map[string]int{}
	for _, line := range want {
		count[line]++
	}
	for _, line := range have {
		count[line]--
	}
	var lines []string
	for _, line := range slices.Sorted(maps.Keys(count)) {
		switch n := count[line]; {
		case n > 0:
			lines = append(lines, "missing: "+line)
		case n < 0:
			lines = append(lines, "too many: "+line)
		}
	}
	return lines
}
