package workloads_test

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/homeostat/homeostat/examples/deployment-controller/internal/workloads"
)

// read decodes YAML into a new object.
func read[T any](t *testing.T, text string) *T {
	t.Helper()
	object := new(T)
	if err := yaml.UnmarshalStrict([]byte(text), object); err != nil {
		t.Fatal(err)
	}
	return object
}

// checkYAML compares an object as it would be written, without its empty status and template creation times.
func checkYAML(t *testing.T, got any, want string) {
	t.Helper()
	data, err := yaml.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.TrimSuffix(string(data), "status: {}\n")
	text = strings.TrimSuffix(text, "status:\n  replicas: 0\n")
	if text != want {
		t.Errorf("got:\n%s\nwant:\n%s", text, want)
	}
}

func checkIdempotent[T runtime.Object](t *testing.T, object T, apply func(T)) {
	t.Helper()
	again := object.DeepCopyObject().(T)
	apply(again)
	if !equality.Semantic.DeepEqual(object, again) {
		t.Errorf("a second time changes it:\n%v\n%v", object, again)
	}
}

func TestDefaultDeployment(t *testing.T) {
	d := read[appsv1.Deployment](t, `
spec:
  template:
    spec:
      containers:
      - name: a
        image: nginx
        ports: [{containerPort: 80}]
        resources: {limits: {cpu: "1"}}
      hostNetwork: true
`)
	workloads.DefaultDeployment(d)
	checkYAML(t, d, `metadata: {}
spec:
  progressDeadlineSeconds: 600
  replicas: 1
  revisionHistoryLimit: 10
  selector: null
  strategy:
    rollingUpdate:
      maxSurge: 25%
      maxUnavailable: 25%
    type: RollingUpdate
  template:
    metadata: {}
    spec:
      containers:
      - image: nginx
        imagePullPolicy: Always
        name: a
        ports:
        - containerPort: 80
          protocol: TCP
        resources:
          limits:
            cpu: "1"
        terminationMessagePath: /dev/termination-log
        terminationMessagePolicy: File
      dnsPolicy: ClusterFirst
      hostNetwork: true
      restartPolicy: Always
      schedulerName: default-scheduler
      securityContext: {}
      terminationGracePeriodSeconds: 30
`)
	checkIdempotent(t, d, workloads.DefaultDeployment)
}

func TestDefaultDeploymentKeepsWhatIsGiven(t *testing.T) {
	d := read[appsv1.Deployment](t, `
spec:
  replicas: 0
  revisionHistoryLimit: 0
  progressDeadlineSeconds: 5
  paused: true
  strategy: {rollingUpdate: {maxSurge: 0}}
`)
	workloads.DefaultDeployment(d)
	s := d.Spec
	if *s.Replicas != 0 || *s.RevisionHistoryLimit != 0 || *s.ProgressDeadlineSeconds != 5 || !s.Paused ||
		s.Strategy.RollingUpdate.MaxSurge.String() != "0" || s.Strategy.RollingUpdate.MaxUnavailable.String() != "25%" {
		t.Errorf("got %+v", s)
	}
}

// A rollingUpdate that does not fit the strategy is for validation to refuse.
func TestDefaultRecreate(t *testing.T) {
	d := read[appsv1.Deployment](t, "spec: {strategy: {type: Recreate, rollingUpdate: {maxSurge: 1}}}")
	workloads.DefaultDeployment(d)
	if d.Spec.Strategy.RollingUpdate == nil || d.Spec.Strategy.RollingUpdate.MaxUnavailable != nil || *d.Spec.Replicas != 1 {
		t.Errorf("got %+v", d.Spec)
	}
	checkIdempotent(t, d, workloads.DefaultDeployment)
	d = read[appsv1.Deployment](t, "spec: {strategy: {type: Recreate}}")
	workloads.DefaultDeployment(d)
	if d.Spec.Strategy.RollingUpdate != nil {
		t.Errorf("got %+v", d.Spec.Strategy)
	}
}

func TestDefaultsAreNotShared(t *testing.T) {
	a, b := new(appsv1.Deployment), new(appsv1.Deployment)
	workloads.DefaultDeployment(a)
	workloads.DefaultDeployment(b)
	*a.Spec.Replicas = 7
	a.Spec.Strategy.RollingUpdate.MaxSurge.StrVal = "1%"
	if *b.Spec.Replicas != 1 || b.Spec.Strategy.RollingUpdate.MaxSurge.StrVal != "25%" {
		t.Error("two objects share a default")
	}
}

func TestDefaultReplicaSet(t *testing.T) {
	rs := read[appsv1.ReplicaSet](t, "spec: {template: {spec: {containers: [{name: a, image: 'nginx:1'}]}}}")
	workloads.DefaultReplicaSet(rs)
	if *rs.Spec.Replicas != 1 || rs.Spec.Template.Spec.RestartPolicy != corev1.RestartPolicyAlways || rs.Spec.Template.Spec.EnableServiceLinks != nil {
		t.Errorf("got %+v", rs.Spec)
	}
	checkIdempotent(t, rs, workloads.DefaultReplicaSet)
}

func TestDefaultPod(t *testing.T) {
	p := read[corev1.Pod](t, `
spec:
  hostNetwork: true
  serviceAccount: robot
  overhead: {cpu: 100u}
  restartPolicy: Never
  containers:
  - name: a
    image: nginx:1.28
    ports: [{containerPort: 80}, {containerPort: 53, hostPort: 54, protocol: UDP}]
    env: [{name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}, {name: F, valueFrom: {fileKeyRef: {key: k, path: p, volumeName: v}}}]
    resources: {limits: {cpu: "1", memory: 1Gi}, requests: {cpu: 100m}}
    livenessProbe: {httpGet: {port: 80}}
    readinessProbe: {grpc: {port: 80}, periodSeconds: 3}
    lifecycle: {preStop: {httpGet: {port: 80, scheme: HTTPS}}}
  initContainers:
  - name: b
    image: b:latest
    imagePullPolicy: Never
    resources: {limits: {cpu: "2"}}
`)
	workloads.DefaultPod(p)
	checkYAML(t, p, `metadata: {}
spec:
  containers:
  - env:
    - name: IP
      valueFrom:
        fieldRef:
          apiVersion: v1
          fieldPath: status.podIP
    - name: F
      valueFrom:
        fileKeyRef:
          key: k
          optional: false
          path: p
          volumeName: v
    image: nginx:1.28
    imagePullPolicy: IfNotPresent
    lifecycle:
      preStop:
        httpGet:
          path: /
          port: 80
          scheme: HTTPS
    livenessProbe:
      failureThreshold: 3
      httpGet:
        path: /
        port: 80
        scheme: HTTP
      periodSeconds: 10
      successThreshold: 1
      timeoutSeconds: 1
    name: a
    ports:
    - containerPort: 80
      hostPort: 80
      protocol: TCP
    - containerPort: 53
      hostPort: 54
      protocol: UDP
    readinessProbe:
      failureThreshold: 3
      grpc:
        port: 80
        service: ""
      periodSeconds: 3
      successThreshold: 1
      timeoutSeconds: 1
    resources:
      limits:
        cpu: "1"
        memory: 1Gi
      requests:
        cpu: 100m
        memory: 1Gi
    terminationMessagePath: /dev/termination-log
    terminationMessagePolicy: File
  dnsPolicy: ClusterFirst
  enableServiceLinks: true
  hostNetwork: true
  initContainers:
  - image: b:latest
    imagePullPolicy: Never
    name: b
    resources:
      limits:
        cpu: "2"
      requests:
        cpu: "2"
    terminationMessagePath: /dev/termination-log
    terminationMessagePolicy: File
  overhead:
    cpu: 1m
  restartPolicy: Never
  schedulerName: default-scheduler
  securityContext: {}
  serviceAccount: robot
  serviceAccountName: robot
  terminationGracePeriodSeconds: 30
`)
	checkIdempotent(t, p, workloads.DefaultPod)
}

func TestDefaultVolumes(t *testing.T) {
	p := read[corev1.Pod](t, `
spec:
  containers: []
  ephemeralContainers: [{name: debug, image: busybox}]
  volumes:
  - name: empty
  - {name: host, hostPath: {path: /}}
  - {name: secret, secret: {}}
  - {name: config, configMap: {}}
  - {name: down, downwardAPI: {items: [{path: a, fieldRef: {fieldPath: metadata.name}}]}}
  - {name: projected, projected: {sources: [{serviceAccountToken: {path: t}}, {downwardAPI: {items: [{path: a, fieldRef: {fieldPath: metadata.name}}]}}]}}
  - {name: image, image: {reference: "a/b:1"}}
  - {name: claim, ephemeral: {volumeClaimTemplate: {spec: {resources: {}}}}}
  - {name: iscsi, iscsi: {targetPortal: a, iqn: b, lun: 0}}
  - {name: rbd, rbd: {monitors: [a], image: b}}
  - {name: azure, azureDisk: {diskName: a, diskURI: b}}
  - {name: scaleio, scaleIO: {gateway: a, system: b, secretRef: {}}}
`)
	workloads.DefaultPod(p)
	checkYAML(t, p.Spec.Volumes, `- emptyDir: {}
  name: empty
- hostPath:
    path: /
    type: ""
  name: host
- name: secret
  secret:
    defaultMode: 420
- configMap:
    defaultMode: 420
  name: config
- downwardAPI:
    defaultMode: 420
    items:
    - fieldRef:
        apiVersion: v1
        fieldPath: metadata.name
      path: a
  name: down
- name: projected
  projected:
    defaultMode: 420
    sources:
    - serviceAccountToken:
        expirationSeconds: 3600
        path: t
    - downwardAPI:
        items:
        - fieldRef:
            apiVersion: v1
            fieldPath: metadata.name
          path: a
- image:
    pullPolicy: IfNotPresent
    reference: a/b:1
  name: image
- ephemeral:
    volumeClaimTemplate:
      metadata: {}
      spec:
        resources: {}
        volumeMode: Filesystem
  name: claim
- iscsi:
    iqn: b
    iscsiInterface: default
    lun: 0
    targetPortal: a
  name: iscsi
- name: rbd
  rbd:
    image: b
    keyring: /etc/ceph/keyring
    monitors:
    - a
    pool: rbd
    user: admin
- azureDisk:
    cachingMode: ReadWrite
    diskName: a
    diskURI: b
    fsType: ext4
    kind: Shared
    readOnly: false
  name: azure
- name: scaleio
  scaleIO:
    fsType: xfs
    gateway: a
    secretRef: {}
    storageMode: ThinProvisioned
    system: b
`)
	if policy := p.Spec.EphemeralContainers[0].ImagePullPolicy; policy != corev1.PullAlways {
		t.Errorf("the ephemeral container has the pull policy %q", policy)
	}
	checkIdempotent(t, p, workloads.DefaultPod)
}

func TestPullPolicy(t *testing.T) {
	for image, want := range map[string]corev1.PullPolicy{
		"nginx":                           corev1.PullAlways,
		"nginx:latest":                    corev1.PullAlways,
		"nginx:1.28":                      corev1.PullIfNotPresent,
		"nginx:latest-alpine":             corev1.PullIfNotPresent,
		"localhost:5000/nginx":            corev1.PullAlways,
		"localhost:5000/nginx:1":          corev1.PullIfNotPresent,
		"localhost:5000/a/nginx:latest":   corev1.PullAlways,
		"nginx@sha256:0123":               corev1.PullIfNotPresent,
		"nginx:latest@sha256:0123":        corev1.PullAlways,
		"localhost:5000/nginx@sha256:012": corev1.PullIfNotPresent,
		"":                                corev1.PullIfNotPresent,
	} {
		p := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Image: image}}}}
		workloads.DefaultPod(p)
		if got := p.Spec.Containers[0].ImagePullPolicy; got != want {
			t.Errorf("%q: got %s, want %s", image, got, want)
		}
	}
}
