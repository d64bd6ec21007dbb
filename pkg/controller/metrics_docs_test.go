package controller_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/homeostat/homeostat/pkg/controller"
	"github.com/homeostat/homeostat/pkg/events"
)

var (
	descText  = regexp.MustCompile(`fqName: "(\w+)".* constLabels: \{([^}]*)\}, variableLabels: \{([^}]*)\}`)
	metricRow = regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\w+) \\|(.*?)\\|")
)

// registered returns the names of all metrics of a manager but those of Go and of the
// process, with their labels in alphabetical order.
func registered(m *controller.Manager) map[string]string {
	GinkgoHelper()
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		m.Metrics().Describe(descs)
	}()
	all := map[string]string{}
	for d := range descs {
		found := descText.FindStringSubmatch(d.String())
		Expect(found).NotTo(BeNil(), d.String())
		if strings.HasPrefix(found[1], "go_") || strings.HasPrefix(found[1], "process_") {
			continue
		}
		labels := strings.FieldsFunc(found[3], func(r rune) bool { return r == ',' })
		if name, _, ok := strings.Cut(found[2], "="); ok {
			labels = append(labels, name)
		}
		slices.Sort(labels)
		all[found[1]] = strings.Join(labels, ", ")
	}
	return all
}

// types returns the types of all metrics that have a value.
func types(m *controller.Manager) map[string]string {
	GinkgoHelper()
	families, err := m.Metrics().Gather()
	Expect(err).NotTo(HaveOccurred())
	all := map[string]string{}
	for _, f := range families {
		all[f.GetName()] = strings.ToLower(f.GetType().String())
	}
	return all
}

var _ = Describe("The table of metrics in docs/operations.md", func() {
	It("has every metric with its type and labels, and no other", func(ctx SpecContext) {
		s := newStore(etcd.Client())
		recorder, err := events.New(s, events.Options{Controller: "c", Prefix: "/events" + s.Prefix()})
		Expect(err).NotTo(HaveOccurred())
		m := newManagerOn(s, controller.ManagerOptions{
			Events: recorder, Leadership: &controller.Leadership{Name: "spec"}, Sharding: &controller.Sharding{Name: "spec", Buckets: 1},
		})
		Expect(controller.NewFor[*Site](m, "c", &names{}, controller.Options{})).Error().To(Succeed())
		create(ctx, newStoreAt(etcd.Client(), s.Prefix()), newSite("a", 1))
		run(m)

		content, err := os.ReadFile("../../docs/operations.md")
		Expect(err).NotTo(HaveOccurred())
		labels, rows := map[string]string{}, map[string]string{}
		for _, row := range metricRow.FindAllStringSubmatch(string(content), -1) {
			Expect(labels).NotTo(HaveKey(row[1]), "two rows")
			labels[row[1]], rows[row[1]] = strings.TrimSpace(strings.ReplaceAll(row[3], "`", "")), row[2]
		}
		Expect(cmp.Diff(labels, registered(m))).To(BeEmpty(), "the table has -, the program has +")
		Eventually(func(g Gomega) {
			have := types(m)
			for name, want := range rows {
				g.Expect(have).To(HaveKeyWithValue(name, want))
			}
		}).Should(Succeed())
	}, SpecTimeout(time.Minute))
})
