package workloads_test

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/workloads"
)

func deployment(t *testing.T, change func(*appsv1.Deployment)) *appsv1.Deployment {
	t.Helper()
	d := read[appsv1.Deployment](t, `
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "nginx:1", ports: [{name: http, containerPort: 80}]}]}
`)
	workloads.DefaultDeployment(d)
	if change != nil {
		change(d)
	}
	return d
}

func pod(t *testing.T, change func(*corev1.Pod)) *corev1.Pod {
	t.Helper()
	p := read[corev1.Pod](t, `
metadata: {name: web-1}
spec:
  volumes: [{name: data}]
  containers:
  - name: web
    image: nginx:1
    env: [{name: A, value: b}, {name: C, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
    volumeMounts: [{name: data, mountPath: /data}]
    resources: {limits: {cpu: 2}, requests: {cpu: 1}}
    readinessProbe: {tcpSocket: {port: 80}, successThreshold: 2}
  initContainers: [{name: init, image: "busybox:1"}]
  tolerations: [{operator: Exists}]
  activeDeadlineSeconds: 100
`)
	workloads.DefaultPod(p)
	if change != nil {
		change(p)
	}
	return p
}

// checkErrors wants exactly these errors, each as "<field>: <type>", in any order.
func checkErrors(t *testing.T, errs field.ErrorList, want ...string) {
	t.Helper()
	var got []string
	for _, err := range errs {
		got = append(got, err.Field+": "+err.Type.String())
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q\n%v", got, want, errs.ToAggregate())
	}
}

func TestValidateDeployment(t *testing.T) {
	percent, number := intstr.FromString, intstr.FromInt32
	rolling := func(surge, unavailable intstr.IntOrString) func(*appsv1.Deployment) {
		return func(d *appsv1.Deployment) {
			d.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{MaxSurge: &surge, MaxUnavailable: &unavailable}
		}
	}
	for name, c := range map[string]struct {
		change func(*appsv1.Deployment)
		want   []string
	}{
		"good":             {nil, nil},
		"no name":          {func(d *appsv1.Deployment) { d.Name = "" }, []string{"metadata.name: Required value"}},
		"generated name":   {func(d *appsv1.Deployment) { d.Name, d.GenerateName = "", "web-" }, nil},
		"bad generateName": {func(d *appsv1.Deployment) { d.GenerateName = "Web-" }, []string{"metadata.generateName: Invalid value"}},
		"bad name":         {func(d *appsv1.Deployment) { d.Name = "a_b" }, []string{"metadata.name: Invalid value"}},
		"bad label":        {func(d *appsv1.Deployment) { d.Labels = map[string]string{"a b": "c"} }, []string{"metadata.labels: Invalid value"}},
		"bad annotation":   {func(d *appsv1.Deployment) { d.Annotations = map[string]string{"a b": "c"} }, []string{"metadata.annotations: Invalid value"}},
		"no selector":      {func(d *appsv1.Deployment) { d.Spec.Selector = nil }, []string{"spec.selector: Required value"}},
		"empty selector":   {func(d *appsv1.Deployment) { d.Spec.Selector.MatchLabels = nil }, []string{"spec.selector: Invalid value"}},
		"bad selector":     {func(d *appsv1.Deployment) { d.Spec.Selector.MatchLabels["a b"] = "c" }, []string{"spec.selector.matchLabels: Invalid value"}},
		"bad template label": {func(d *appsv1.Deployment) { d.Spec.Template.Labels["x"] = "not valid" },
			[]string{"spec.template.labels: Invalid value"}},
		"selector mismatch": {func(d *appsv1.Deployment) { d.Spec.Template.Labels["app"] = "other" },
			[]string{"spec.template.metadata.labels: Invalid value"}},
		"no template labels":     {func(d *appsv1.Deployment) { d.Spec.Template.Labels = nil }, []string{"spec.template.metadata.labels: Invalid value"}},
		"negative replicas":      {func(d *appsv1.Deployment) { *d.Spec.Replicas = -1 }, []string{"spec.replicas: Invalid value"}},
		"no replicas":            {func(d *appsv1.Deployment) { *d.Spec.Replicas = 0 }, nil},
		"negative minReady":      {func(d *appsv1.Deployment) { d.Spec.MinReadySeconds = -1 }, []string{"spec.minReadySeconds: Invalid value"}},
		"negative history":       {func(d *appsv1.Deployment) { *d.Spec.RevisionHistoryLimit = -1 }, []string{"spec.revisionHistoryLimit: Invalid value"}},
		"deadline below ready":   {func(d *appsv1.Deployment) { d.Spec.MinReadySeconds = 600 }, []string{"spec.progressDeadlineSeconds: Invalid value"}},
		"deadline above ready":   {func(d *appsv1.Deployment) { d.Spec.MinReadySeconds = 599 }, nil},
		"no deadline":            {func(d *appsv1.Deployment) { d.Spec.ProgressDeadlineSeconds = nil }, nil},
		"strategy":               {func(d *appsv1.Deployment) { d.Spec.Strategy.Type = "Rolling" }, []string{"spec.strategy: Unsupported value"}},
		"Recreate":               {func(d *appsv1.Deployment) { d.Spec.Strategy = appsv1.DeploymentStrategy{Type: "Recreate"} }, nil},
		"Recreate with rolling":  {func(d *appsv1.Deployment) { d.Spec.Strategy.Type = "Recreate" }, []string{"spec.strategy.rollingUpdate: Forbidden"}},
		"rolling without":        {func(d *appsv1.Deployment) { d.Spec.Strategy.RollingUpdate = nil }, []string{"spec.strategy.rollingUpdate: Required value"}},
		"both zero":              {rolling(number(0), number(0)), []string{"spec.strategy.rollingUpdate.maxUnavailable: Invalid value"}},
		"both zero percent":      {rolling(percent("0%"), number(0)), []string{"spec.strategy.rollingUpdate.maxUnavailable: Invalid value"}},
		"both unset":             {func(d *appsv1.Deployment) { *d.Spec.Strategy.RollingUpdate = appsv1.RollingUpdateDeployment{} }, []string{"spec.strategy.rollingUpdate.maxUnavailable: Invalid value"}},
		"one zero":               {rolling(number(0), percent("1%")), nil},
		"negative":               {rolling(number(-1), number(1)), []string{"spec.strategy.rollingUpdate.maxSurge: Invalid value"}},
		"word":                   {rolling(percent("some"), percent("3")), []string{"spec.strategy.rollingUpdate.maxSurge: Invalid value", "spec.strategy.rollingUpdate.maxUnavailable: Invalid value"}},
		"too many percent":       {rolling(percent("200%"), percent("101%")), []string{"spec.strategy.rollingUpdate.maxUnavailable: Invalid value"}},
		"absurd percent":         {rolling(percent("99999999999999999999%"), number(1)), []string{"spec.strategy.rollingUpdate.maxSurge: Invalid value"}},
		"restart policy":         {func(d *appsv1.Deployment) { d.Spec.Template.Spec.RestartPolicy = "Never" }, []string{"spec.template.spec.restartPolicy: Unsupported value"}},
		"unknown restart policy": {func(d *appsv1.Deployment) { d.Spec.Template.Spec.RestartPolicy = "Often" }, []string{"spec.template.spec.restartPolicy: Unsupported value"}},
		"active deadline":        {func(d *appsv1.Deployment) { d.Spec.Template.Spec.ActiveDeadlineSeconds = new(int64(3)) }, []string{"spec.template.spec.activeDeadlineSeconds: Forbidden"}},
		"no containers":          {func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers = nil }, []string{"spec.template.spec.containers: Required value"}},
		"container": {func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "" },
			[]string{"spec.template.spec.containers[0].image: Required value"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := deployment(t, c.change)
			before := d.DeepCopy()
			checkErrors(t, workloads.ValidateDeployment(d), c.want...)
			checkErrors(t, workloads.ValidateDeploymentUpdate(d, before), c.want...)
		})
	}
}

func TestSelectorIsImmutable(t *testing.T) {
	old := deployment(t, nil)
	updated := deployment(t, func(d *appsv1.Deployment) {
		d.Spec.Selector.MatchLabels["tier"] = "front"
		d.Spec.Template.Labels["tier"] = "front"
	})
	checkErrors(t, workloads.ValidateDeploymentUpdate(updated, old), "spec.selector: Invalid value")
	checkErrors(t, workloads.ValidateReplicaSetUpdate(replicaSet(updated), replicaSet(old)), "spec.selector: Invalid value")

	other := deployment(t, func(d *appsv1.Deployment) { d.Spec.Template.Labels["x"] = "y"; *d.Spec.Replicas = 9 })
	checkErrors(t, workloads.ValidateDeploymentUpdate(other, old))
	checkErrors(t, workloads.ValidateReplicaSetUpdate(replicaSet(other), replicaSet(old)))
}

func replicaSet(d *appsv1.Deployment) *appsv1.ReplicaSet {
	return &appsv1.ReplicaSet{ObjectMeta: d.ObjectMeta, Spec: appsv1.ReplicaSetSpec{
		Replicas: d.Spec.Replicas, Selector: d.Spec.Selector, Template: d.Spec.Template, MinReadySeconds: d.Spec.MinReadySeconds,
	}}
}

func TestValidateReplicaSet(t *testing.T) {
	checkErrors(t, workloads.ValidateReplicaSet(replicaSet(deployment(t, nil))))
	checkErrors(t, workloads.ValidateReplicaSet(replicaSet(deployment(t, func(d *appsv1.Deployment) {
		*d.Spec.Replicas, d.Spec.MinReadySeconds = -1, -1
		d.Spec.Template.Labels = nil
	}))), "spec.replicas: Invalid value", "spec.minReadySeconds: Invalid value", "spec.template.metadata.labels: Invalid value")
	checkErrors(t, workloads.ValidateReplicaSet(new(appsv1.ReplicaSet)),
		"metadata.name: Required value", "spec.selector: Required value", "spec.template.spec.containers: Required value",
		"spec.template.spec.dnsPolicy: Required value", "spec.template.spec.restartPolicy: Required value")
}

func TestValidatePod(t *testing.T) {
	web := func(change func(*corev1.Container)) func(*corev1.Pod) {
		return func(p *corev1.Pod) { change(&p.Spec.Containers[0]) }
	}
	ports := func(ports ...corev1.ContainerPort) func(*corev1.Pod) {
		return web(func(c *corev1.Container) { c.Ports = ports })
	}
	tcp := corev1.ProtocolTCP
	for name, c := range map[string]struct {
		change func(*corev1.Pod)
		want   []string
	}{
		"good":                {nil, nil},
		"no container name":   {web(func(c *corev1.Container) { c.Name = "" }), []string{"spec.containers[0].name: Required value"}},
		"bad container name":  {web(func(c *corev1.Container) { c.Name = "a.b" }), []string{"spec.containers[0].name: Invalid value"}},
		"same container name": {func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, p.Spec.Containers[0]) }, []string{"spec.containers[1].name: Duplicate value"}},
		"same as init":        {func(p *corev1.Pod) { p.Spec.InitContainers[0].Name = "web" }, []string{"spec.initContainers[0].name: Duplicate value"}},
		"init image":          {func(p *corev1.Pod) { p.Spec.InitContainers[0].Image = "" }, []string{"spec.initContainers[0].image: Required value"}},
		"pull policy":         {web(func(c *corev1.Container) { c.ImagePullPolicy = "Often" }), []string{"spec.containers[0].imagePullPolicy: Unsupported value"}},
		"message policy":      {web(func(c *corev1.Container) { c.TerminationMessagePolicy = "" }), []string{"spec.containers[0].terminationMessagePolicy: Required value"}},
		"ephemeral":           {func(p *corev1.Pod) { p.Spec.EphemeralContainers = make([]corev1.EphemeralContainer, 1) }, []string{"spec.ephemeralContainers: Forbidden"}},

		"port 0":         {ports(corev1.ContainerPort{Protocol: tcp}), []string{"spec.containers[0].ports[0].containerPort: Required value"}},
		"port 65536":     {ports(corev1.ContainerPort{ContainerPort: 65536, HostPort: -1, Protocol: tcp}), []string{"spec.containers[0].ports[0].containerPort: Invalid value", "spec.containers[0].ports[0].hostPort: Invalid value"}},
		"protocol":       {ports(corev1.ContainerPort{ContainerPort: 1, Protocol: "tcp"}), []string{"spec.containers[0].ports[0].protocol: Unsupported value"}},
		"port name":      {ports(corev1.ContainerPort{ContainerPort: 1, Protocol: tcp, Name: "Web"}), []string{"spec.containers[0].ports[0].name: Invalid value"}},
		"same port name": {ports(corev1.ContainerPort{ContainerPort: 1, Protocol: tcp, Name: "a"}, corev1.ContainerPort{ContainerPort: 2, Protocol: tcp, Name: "a"}), []string{"spec.containers[0].ports[1].name: Duplicate value"}},
		"same host port": {ports(corev1.ContainerPort{ContainerPort: 1, HostPort: 9, Protocol: tcp}, corev1.ContainerPort{ContainerPort: 2, HostPort: 9, Protocol: tcp}), []string{"spec.containers[0].ports[1].hostPort: Duplicate value"}},

		"env name":       {web(func(c *corev1.Container) { c.Env[0].Name = "" }), []string{"spec.containers[0].env[0].name: Required value"}},
		"env bad name":   {web(func(c *corev1.Container) { c.Env[0].Name = "a=b" }), []string{"spec.containers[0].env[0].name: Invalid value"}},
		"env two values": {web(func(c *corev1.Container) { c.Env[1].Value = "x" }), []string{"spec.containers[0].env[1].valueFrom: Invalid value"}},
		"env no source":  {web(func(c *corev1.Container) { c.Env[1].ValueFrom.FieldRef = nil }), []string{"spec.containers[0].env[1].valueFrom: Invalid value"}},

		"mount of nothing": {web(func(c *corev1.Container) { c.VolumeMounts[0].Name = "other" }), []string{"spec.containers[0].volumeMounts[0].name: Not found"}},
		"mount nowhere":    {web(func(c *corev1.Container) { c.VolumeMounts[0].MountPath = "" }), []string{"spec.containers[0].volumeMounts[0].mountPath: Required value"}},
		"mount twice":      {web(func(c *corev1.Container) { c.VolumeMounts = append(c.VolumeMounts, c.VolumeMounts[0]) }), []string{"spec.containers[0].volumeMounts[1].mountPath: Duplicate value"}},
		"mount no name":    {web(func(c *corev1.Container) { c.VolumeMounts[0].Name = "" }), []string{"spec.containers[0].volumeMounts[0].name: Required value"}},
		"volume twice":     {func(p *corev1.Pod) { p.Spec.Volumes = append(p.Spec.Volumes, p.Spec.Volumes[0]) }, []string{"spec.volumes[1].name: Duplicate value"}},
		"volume no source": {func(p *corev1.Pod) { p.Spec.Volumes[0].EmptyDir = nil }, []string{"spec.volumes[0]: Required value"}},
		"volume sources":   {func(p *corev1.Pod) { p.Spec.Volumes[0].HostPath = new(corev1.HostPathVolumeSource) }, []string{"spec.volumes[0]: Forbidden"}},

		"more than limit": {web(func(c *corev1.Container) {
			c.Resources.Requests["cpu"] = c.Resources.Limits["cpu"].DeepCopy()
			c.Resources.Limits["cpu"] = *newQuantity("1")
		}), []string{"spec.containers[0].resources.requests: Invalid value"}},
		"negative limit": {web(func(c *corev1.Container) { c.Resources.Limits["memory"] = *newQuantity("-1") }), []string{"spec.containers[0].resources.limits[memory]: Invalid value"}},

		"probe without a way": {web(func(c *corev1.Container) { c.ReadinessProbe.TCPSocket = nil }), []string{"spec.containers[0].readinessProbe: Required value"}},
		"probe numbers":       {web(func(c *corev1.Container) { c.ReadinessProbe.PeriodSeconds = -1 }), []string{"spec.containers[0].readinessProbe.periodSeconds: Invalid value"}},
		"liveness successes":  {web(func(c *corev1.Container) { c.LivenessProbe = c.ReadinessProbe }), []string{"spec.containers[0].livenessProbe.successThreshold: Invalid value"}},

		"dns policy":    {func(p *corev1.Pod) { p.Spec.DNSPolicy = "Any" }, []string{"spec.dnsPolicy: Unsupported value"}},
		"grace period":  {func(p *corev1.Pod) { *p.Spec.TerminationGracePeriodSeconds = -1 }, []string{"spec.terminationGracePeriodSeconds: Invalid value"}},
		"deadline":      {func(p *corev1.Pod) { *p.Spec.ActiveDeadlineSeconds = 0 }, []string{"spec.activeDeadlineSeconds: Invalid value"}},
		"node selector": {func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"a b": "c"} }, []string{"spec.nodeSelector: Invalid value"}},
		"names":         {func(p *corev1.Pod) { p.Spec.NodeName, p.Spec.Hostname = "A", "a.b" }, []string{"spec.nodeName: Invalid value", "spec.hostname: Invalid value"}},
		"never restart": {func(p *corev1.Pod) { p.Spec.RestartPolicy = "Never" }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			checkErrors(t, workloads.ValidatePod(pod(t, c.change)), c.want...)
		})
	}
}

func TestValidatePodUpdate(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*corev1.Pod)
		want   []string
	}{
		"nothing":            {func(*corev1.Pod) {}, nil},
		"metadata":           {func(p *corev1.Pod) { p.Labels = map[string]string{"a": "b"} }, nil},
		"images":             {func(p *corev1.Pod) { p.Spec.Containers[0].Image, p.Spec.InitContainers[0].Image = "a", "b" }, nil},
		"no image":           {func(p *corev1.Pod) { p.Spec.Containers[0].Image = "" }, []string{"spec.containers[0].image: Required value"}},
		"node":               {func(p *corev1.Pod) { p.Spec.NodeName = "node-1" }, nil},
		"lower deadline":     {func(p *corev1.Pod) { *p.Spec.ActiveDeadlineSeconds = 1 }, nil},
		"higher deadline":    {func(p *corev1.Pod) { *p.Spec.ActiveDeadlineSeconds = 101 }, []string{"spec.activeDeadlineSeconds: Invalid value"}},
		"no deadline":        {func(p *corev1.Pod) { p.Spec.ActiveDeadlineSeconds = nil }, []string{"spec.activeDeadlineSeconds: Invalid value"}},
		"another toleration": {func(p *corev1.Pod) { p.Spec.Tolerations = append(p.Spec.Tolerations, corev1.Toleration{Key: "a"}) }, nil},
		"no toleration":      {func(p *corev1.Pod) { p.Spec.Tolerations = nil }, []string{"spec.tolerations: Forbidden"}},
		"container": {func(p *corev1.Pod) {
			p.Spec.Containers = append(p.Spec.Containers, p.Spec.Containers[0])
			p.Spec.Containers[1].Name = "x"
		},
			[]string{"spec: Forbidden"}},
		"two fields": {func(p *corev1.Pod) { p.Spec.RestartPolicy, p.Spec.HostNetwork = "Never", true }, []string{"spec: Forbidden"}},
	} {
		t.Run(name, func(t *testing.T) {
			old, updated := pod(t, nil), pod(t, c.change)
			errs := workloads.ValidatePodUpdate(updated, old)
			checkErrors(t, errs, c.want...)
			if name == "two fields" && !strings.HasSuffix(errs[0].Error(), "a Pod keeps its restartPolicy, hostNetwork") {
				t.Errorf("got %v", errs[0])
			}
			if !equalPods(updated, pod(t, c.change)) {
				t.Error("validation changed the Pod")
			}
		})
	}
	scheduled := func(p *corev1.Pod) { p.Spec.NodeName = "node-1" }
	moved := func(p *corev1.Pod) { p.Spec.NodeName = "node-2" }
	checkErrors(t, workloads.ValidatePodUpdate(pod(t, moved), pod(t, scheduled)), "spec: Forbidden")
	checkErrors(t, workloads.ValidatePodUpdate(pod(t, nil), pod(t, scheduled)), "spec: Forbidden")
}
