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
		"good":           {nil, nil},
		"no selector":    {func(d *appsv1.Deployment) { d.Spec.Selector = nil }, []string{"spec.selector: Required value"}},
		"empty selector": {func(d *appsv1.Deployment) { d.Spec.Selector.MatchLabels = nil }, []string{"spec.selector: Invalid value"}},
		"bad selector":   {func(d *appsv1.Deployment) { d.Spec.Selector.MatchLabels["a b"] = "c" }, []string{"spec.selector.matchLabels: Invalid value"}},
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
		"spec.selector: Required value", "spec.template.spec.containers: Required value",
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
		"mount twice":      {web(func(c *corev1.Container) { c.VolumeMounts = append(c.VolumeMounts, c.VolumeMounts[0]) }), []string{"spec.containers[0].volumeMounts[1].mountPath: Invalid value"}},
		"mount no name":    {web(func(c *corev1.Container) { c.VolumeMounts[0].Name = "" }), []string{"spec.containers[0].volumeMounts[0].name: Required value"}},
		"volume twice":     {func(p *corev1.Pod) { p.Spec.Volumes = append(p.Spec.Volumes, p.Spec.Volumes[0]) }, []string{"spec.volumes[1].name: Duplicate value"}},
		"volume no source": {func(p *corev1.Pod) { p.Spec.Volumes[0].EmptyDir = nil }, []string{"spec.volumes[0]: Required value"}},
		"volume sources":   {func(p *corev1.Pod) { p.Spec.Volumes[0].HostPath = new(corev1.HostPathVolumeSource) }, []string{"spec.volumes[0].hostPath: Forbidden"}},

		"more than limit": {web(func(c *corev1.Container) {
			c.Resources.Requests["cpu"] = c.Resources.Limits["cpu"].DeepCopy()
			c.Resources.Limits["cpu"] = *newQuantity("1")
		}), []string{"spec.containers[0].resources.requests: Invalid value"}},
		"negative limit": {web(func(c *corev1.Container) { c.Resources.Limits["memory"] = *newQuantity("-1") }), []string{"spec.containers[0].resources.limits[memory]: Invalid value"}},

		"probe without a way": {web(func(c *corev1.Container) { c.ReadinessProbe.TCPSocket = nil }), []string{"spec.containers[0].readinessProbe: Required value"}},
		"probe numbers":       {web(func(c *corev1.Container) { c.ReadinessProbe.PeriodSeconds = -1 }), []string{"spec.containers[0].readinessProbe.periodSeconds: Invalid value"}},
		"liveness successes":  {web(func(c *corev1.Container) { c.LivenessProbe = c.ReadinessProbe }), []string{"spec.containers[0].livenessProbe.successThreshold: Invalid value"}},

		"dns policy":    {func(p *corev1.Pod) { p.Spec.DNSPolicy = "Any" }, []string{"spec.dnsPolicy: Unsupported value"}},
		"grace period":  {func(p *corev1.Pod) { *p.Spec.TerminationGracePeriodSeconds = -1 }, nil},
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

// The fields and reasons are those of an API server, also where it names a list instead of an element.
func TestValidateContainerParts(t *testing.T) {
	for name, c := range map[string]struct {
		container string // fields of a container
		want      []string
	}{
		"exec":                 {"livenessProbe: {exec: {}}", []string{"livenessProbe.exec.command: Required value"}},
		"HTTP without port":    {"livenessProbe: {httpGet: {path: /}}", []string{"livenessProbe.httpGet.port: Invalid value"}},
		"HTTP":                 {"livenessProbe: {httpGet: {port: Web, scheme: FTP, httpHeaders: [{name: 'a b'}]}}", []string{"livenessProbe.httpGet.port: Invalid value", "livenessProbe.httpGet.scheme: Unsupported value", "livenessProbe.httpGet.httpHeaders: Invalid value"}},
		"TCP":                  {"readinessProbe: {tcpSocket: {port: 70000}}", []string{"readinessProbe.tcpSocket.port: Invalid value"}},
		"gRPC":                 {"readinessProbe: {grpc: {port: 0}}", []string{"readinessProbe.grpc.port: Invalid value"}},
		"a named port":         {"readinessProbe: {tcpSocket: {port: web}}", nil},
		"two actions":          {"readinessProbe: {exec: {command: [a]}, tcpSocket: {}}", []string{"readinessProbe.tcpSocket: Forbidden"}},
		"grace of readiness":   {"readinessProbe: {exec: {command: [a]}, terminationGracePeriodSeconds: 3}", []string{"readinessProbe.terminationGracePeriodSeconds: Invalid value"}},
		"grace of liveness":    {"livenessProbe: {exec: {command: [a]}, terminationGracePeriodSeconds: 0}", []string{"livenessProbe.terminationGracePeriodSeconds: Invalid value"}},
		"hooks":                {"lifecycle: {postStart: {exec: {}}, preStop: {}}", []string{"lifecycle.postStart.exec.command: Required value", "lifecycle.preStop: Required value"}},
		"a long sleep":         {"lifecycle: {preStop: {sleep: {seconds: 31}}}", []string{"lifecycle.preStop.sleep: Invalid value"}},
		"a sleep":              {"lifecycle: {preStop: {sleep: {seconds: 30}}}", nil},
		"envFrom nothing":      {"envFrom: [{}]", []string{"envFrom: Invalid value"}},
		"envFrom both":         {"envFrom: [{configMapRef: {name: a}, secretRef: {name: b}}]", []string{"envFrom: Invalid value"}},
		"envFrom names":        {"envFrom: [{configMapRef: {}}, {prefix: 'a=', secretRef: {name: A_}}]", []string{"envFrom[0].configMapRef.name: Required value", "envFrom[1].prefix: Invalid value", "envFrom[1].secretRef.name: Invalid value"}},
		"env keys":             {"env: [{name: A, valueFrom: {secretKeyRef: {name: s}}}, {name: B, valueFrom: {configMapKeyRef: {key: 'a b'}}}]", []string{"env[0].valueFrom.secretKeyRef.key: Required value", "env[1].valueFrom.configMapKeyRef.name: Required value", "env[1].valueFrom.configMapKeyRef.key: Invalid value"}},
		"env fields":           {"env: [{name: A, valueFrom: {fieldRef: {fieldPath: status.phase}}}, {name: B, valueFrom: {fieldRef: {}}}, {name: C, valueFrom: {resourceFieldRef: {}}}]", []string{"env[0].valueFrom.fieldRef.fieldPath: Unsupported value", "env[1].valueFrom.fieldRef.fieldPath: Required value", "env[2].valueFrom.resourceFieldRef.resource: Required value"}},
		"env label":            {"env: [{name: A, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['app']\"}}}, {name: B, valueFrom: {fieldRef: {fieldPath: \"metadata.annotations['a b']\"}}}]", []string{"env[1].valueFrom.fieldRef.fieldPath: Invalid value"}},
		"unknown resource":     {"resources: {requests: {cpus: 1, mem: 1}}", []string{"resources.requests[cpus]: Invalid value", "resources.requests[mem]: Invalid value"}},
		"standard resources":   {"resources: {limits: {cpu: 1, memory: 1Gi, ephemeral-storage: 1Gi}}", nil},
		"an extended resource": {"resources: {limits: {example.com/gpu: 1}, requests: {example.com/gpu: 1}}", nil},
		"half a GPU":           {"resources: {limits: {example.com/gpu: 500m}}", []string{"resources.limits[example.com/gpu]: Invalid value", "resources.requests[example.com/gpu]: Invalid value"}},
		"fewer GPUs":           {"resources: {limits: {example.com/gpu: 2}, requests: {example.com/gpu: 1}}", []string{"resources.requests: Invalid value"}},
		"GPUs without limit":   {"resources: {requests: {example.com/gpu: 1}}", []string{"resources.limits: Required value"}},
		"a malformed resource": {"resources: {requests: {a/b/c: 1, requests.example.com/x: 1}}", []string{"resources.requests[a/b/c]: Invalid value", "resources.requests[requests.example.com/x]: Invalid value"}},
		"subPath":              {"volumeMounts: [{name: data, mountPath: /a, subPath: a/../b}, {name: data, mountPath: /b, subPath: /x}]", []string{"volumeMounts.subPath: Invalid value", "volumeMounts.subPath: Invalid value"}},
		"subPathExpr":          {"volumeMounts: [{name: data, mountPath: /a, subPath: a, subPathExpr: ..}]", []string{"volumeMounts.subPathExpr: Invalid value", "volumeMounts[0].subPathExpr: Invalid value"}},
		"dots in a name":       {"volumeMounts: [{name: data, mountPath: /a, subPath: a..b}]", nil},
		"propagation":          {"volumeMounts: [{name: data, mountPath: /a, mountPropagation: Bidirectional}, {name: data, mountPath: /b, mountPropagation: Both}]", []string{"volumeMounts.mountPropagation: Forbidden", "volumeMounts.mountPropagation: Unsupported value"}},
		"an unknown restart":   {"restartPolicy: Often", []string{"restartPolicy: Unsupported value"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := pod(t, nil)
			p.Spec.Containers[0] = *read[corev1.Container](t, "{name: web, image: 'nginx:1', "+c.container+"}")
			workloads.DefaultPod(p)
			want := slices.Clone(c.want)
			for i := range want {
				want[i] = "spec.containers[0]." + want[i]
			}
			checkErrors(t, workloads.ValidatePod(p), want...)
		})
	}
}

func TestValidatePodParts(t *testing.T) {
	for name, c := range map[string]struct {
		spec string // fields of a Pod's spec
		want []string
	}{
		"host network": {"hostNetwork: true, containers: [{name: a, image: a, ports: [{containerPort: 80, hostPort: 81}]}]", []string{"spec.containers[0].ports[0].hostPort: Invalid value"}},
		"host port":    {"containers: [{name: a, image: a, ports: [{containerPort: 80, hostPort: 81}]}]", nil},
		"init probes": {"initContainers: [{name: i, image: i, lifecycle: {}, livenessProbe: {exec: {command: [a]}}, readinessProbe: {exec: {command: [a]}}, startupProbe: {exec: {command: [a]}}}]", []string{
			"spec.initContainers[0].lifecycle: Forbidden", "spec.initContainers[0].livenessProbe: Forbidden",
			"spec.initContainers[0].readinessProbe: Forbidden", "spec.initContainers[0].startupProbe: Forbidden"}},
		"sidecar probes":  {"initContainers: [{name: i, image: i, restartPolicy: Always, livenessProbe: {exec: {command: [a]}}, startupProbe: {exec: {}}}]", []string{"spec.initContainers[0].startupProbe.exec.command: Required value"}},
		"init host ports": {"initContainers: [{name: i, image: i, ports: [{containerPort: 1, hostPort: 9}]}, {name: j, image: i, ports: [{containerPort: 1, hostPort: 9}]}]", nil},
		"volumes": {"volumes: [{name: a, hostPath: {}}, {name: b, secret: {}}, {name: c, configMap: {}}, {name: d, persistentVolumeClaim: {}}]", []string{
			"spec.volumes[0].hostPath.path: Required value", "spec.volumes[1].secret.secretName: Required value",
			"spec.volumes[2].configMap.name: Required value", "spec.volumes[3].persistentVolumeClaim.claimName: Required value"}},
		"volume paths": {"volumes: [{name: a, hostPath: {path: /a/../b, type: Thing}}, {name: b, secret: {secretName: s, items: [{path: ../x}, {key: k, path: ..x, mode: 512}]}}]", []string{
			"spec.volumes[0].hostPath.path: Invalid value", "spec.volumes[0].hostPath.type: Unsupported value",
			"spec.volumes[1].secret.items[0].key: Required value", "spec.volumes[1].secret.items[0].path: Invalid value",
			"spec.volumes[1].secret.items[1].path: Invalid value", "spec.volumes[1].secret.items[1].mode: Invalid value"}},
		"tolerations": {"tolerations: [{key: a b, operator: Exists}, {operator: Equal}, {key: a, tolerationSeconds: 1}, {key: a, operator: Exists, value: x}, {key: a, operator: In}, {key: a, effect: Never}]", []string{
			"spec.tolerations[0].key: Invalid value", "spec.tolerations[1].operator: Invalid value", "spec.tolerations[2].effect: Invalid value",
			"spec.tolerations[3].operator: Invalid value", "spec.tolerations[4].operator: Unsupported value", "spec.tolerations[5].effect: Unsupported value"}},
		"DNS by none":    {"dnsPolicy: None", []string{"spec.dnsConfig: Required value"}},
		"DNS by no one":  {"dnsPolicy: None, dnsConfig: {}", []string{"spec.dnsConfig.nameservers: Required value"}},
		"DNS":            {"dnsPolicy: None, dnsConfig: {nameservers: [10.0.0.1]}", nil},
		"other names":    {"imagePullSecrets: [{}], priorityClassName: A_", []string{"spec.imagePullSecrets[0].name: Required value", "spec.priorityClassName: Invalid value"}},
		"endless":        {"activeDeadlineSeconds: 2147483648", []string{"spec.activeDeadlineSeconds: Invalid value"}},
		"negative grace": {"terminationGracePeriodSeconds: -1", nil},
	} {
		t.Run(name, func(t *testing.T) {
			text := c.spec
			if !strings.Contains(text, " containers:") && !strings.HasPrefix(text, "containers:") {
				text += ", containers: [{name: web, image: 'nginx:1'}]"
			}
			p := read[corev1.Pod](t, "spec: {"+text+"}")
			workloads.DefaultPod(p)
			checkErrors(t, workloads.ValidatePod(p), c.want...)
		})
	}
}

// Only a template may leave host ports to the defaults of its Pods.
func TestHostNetworkOfATemplate(t *testing.T) {
	hostPort := func(port int32) *appsv1.Deployment {
		return deployment(t, func(d *appsv1.Deployment) {
			d.Spec.Template.Spec.HostNetwork = true
			d.Spec.Template.Spec.Containers[0].Ports[0].HostPort = port
		})
	}
	checkErrors(t, workloads.ValidateDeployment(hostPort(0)))
	checkErrors(t, workloads.ValidateDeployment(hostPort(80)))
	checkErrors(t, workloads.ValidateDeployment(hostPort(81)), "spec.template.spec.containers[0].ports[0].hostPort: Invalid value")
	p := pod(t, nil)
	p.Spec.HostNetwork = true
	p.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80, Protocol: "TCP"}}
	checkErrors(t, workloads.ValidatePod(p), "spec.containers[0].ports[0].hostPort: Invalid value")
}

func TestDeletionCost(t *testing.T) {
	for text, want := range map[string]int32{"0": 0, "7": 7, "-8": -8, "-08": -8, "-0": 0, "2147483647": 2147483647} {
		if got, ok := workloads.DeletionCost(text); !ok || got != want {
			t.Errorf("%q: %d, %t", text, got, ok)
		}
	}
	for _, text := range []string{"", "+5", "08", "1.5", "x", "-", "2147483648", " 1"} {
		if _, ok := workloads.DeletionCost(text); ok {
			t.Errorf("%q is valid", text)
		}
		p := pod(t, func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.PodDeletionCost: text} })
		checkErrors(t, workloads.ValidatePod(p), "metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value")
		d := deployment(t, func(d *appsv1.Deployment) { d.Spec.Template.Annotations = p.Annotations })
		checkErrors(t, workloads.ValidateDeployment(d), "spec.template.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value")
	}
}

func TestNegativeGraceMayBecomeOne(t *testing.T) {
	grace := func(seconds int64) *corev1.Pod {
		return pod(t, func(p *corev1.Pod) { *p.Spec.TerminationGracePeriodSeconds = seconds })
	}
	checkErrors(t, workloads.ValidatePodUpdate(grace(1), grace(-5)))
	checkErrors(t, workloads.ValidatePodUpdate(grace(2), grace(-5)), "spec: Forbidden")
	checkErrors(t, workloads.ValidatePodUpdate(grace(1), grace(30)), "spec: Forbidden")
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
