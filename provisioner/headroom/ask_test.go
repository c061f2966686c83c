package headroom

import (
	"math"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/state"
	"github.com/stowage-sh/stowage/provisioner/v1beta1"
)

func list(pairs ...string) corev1.ResourceList {
	l := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		l[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return l
}

// TestCount: the larger of replicas and percentage, no more than limits allow, or else that.
func TestCount(t *testing.T) {
	n := func(n int32) *int32 { return &n }
	for _, test := range []struct {
		name                 string
		replicas, percentage *int32
		limits               corev1.ResourceList
		scale                *int32
		want                 int32
		wrong                string
	}{
		{"replicas", n(5), nil, nil, nil, 5, ""},
		{"no replicas", n(0), nil, nil, nil, 0, ""},
		{"a percentage", nil, n(20), nil, n(10), 2, ""},
		{"rounded up", nil, n(21), nil, n(10), 3, ""},
		{"at least one", nil, n(1), nil, n(1), 1, ""},
		{"of nothing", nil, n(50), nil, n(0), 0, ""},
		{"no percentage", nil, n(0), nil, n(10), 0, ""},
		{"more than all", nil, n(300), nil, n(7), 21, ""},
		{"the percentage is larger", n(2), n(50), nil, n(10), 5, ""},
		{"the replicas are larger", n(8), n(50), nil, n(10), 8, ""},
		{"a percentage of a PodTemplate is of nothing", n(2), n(50), nil, nil, 2, ""},
		{"limits alone", nil, nil, list("cpu", "7"), nil, 4, ""},
		{"the smallest of them", nil, nil, list("cpu", "7", "memory", "2Gi"), nil, 2, ""},
		{"just enough", nil, nil, list("cpu", "4500m"), nil, 3, ""},
		{"not enough for one", nil, nil, list("memory", "1023Mi"), nil, 0, ""},
		{"limits above replicas", n(2), nil, list("cpu", "7"), nil, 2, ""},
		{"limits below replicas", n(9), nil, list("cpu", "7"), nil, 4, ""},
		{"limits below a percentage", nil, n(100), list("cpu", "7"), n(5), 4, ""},
		{"limits and a percentage of nothing", nil, n(100), list("cpu", "7"), n(0), 0, ""},
		{"limits of pods", nil, nil, list("pods", "3"), nil, 3, ""},
		{"limits of something else", n(9), nil, list("example.com/fuse", "1"), nil, 9, ""},
		{"only limits of something else", nil, nil, list("example.com/fuse", "1"), nil, 0, "spec.limits: the pods ask for none"},
		{"nothing said", nil, nil, nil, n(3), 0, "none of replicas, percentage and limits"},
		{"a percentage of a PodTemplate", nil, n(50), nil, nil, 0, "none of replicas, percentage and limits"},
		{"too many", n(10_001), nil, nil, nil, 0, "10001 pods"},
		{"far too many", nil, n(math.MaxInt32), nil, n(math.MaxInt32), 0, "pods, and one buffer may keep room for 10000"},
	} {
		spec := &v1beta1.CapacityBufferSpec{Replicas: test.replicas, Percentage: test.percentage, Limits: test.limits}
		got, wrong := count(spec, cloudprovider.Resources{"cpu": 1500, "memory": 1 << 30, "pods": 1}, test.scale)
		if got != test.want || !strings.Contains(wrong, test.wrong) || (wrong == "") != (test.wrong == "") {
			t.Errorf("%s: %d %q, want %d %q", test.name, got, wrong, test.want, test.wrong)
		}
	}
}

// meta names an object of namespace default.
func meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), ResourceVersion: "1", Generation: 1}
}

// core is the template of a pod with one core.
func core() corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}}, Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{Limits: list("cpu", "1")}}},
	}}
}

// bufferFor refers to a workload and asks for room for so many pods.
func bufferFor(kind, name string, replicas int32) *v1beta1.CapacityBuffer {
	b := &v1beta1.CapacityBuffer{ObjectMeta: meta("spare")}
	b.Spec.ScalableRef, b.Spec.Replicas = &v1beta1.ScalableRef{Kind: kind, Name: name}, &replicas
	return b
}

func snapshot(objects ...client.Object) *state.Snapshot {
	c := state.New()
	for _, o := range objects {
		c.Observe(o)
	}
	return c.Snapshot()
}

// TestReferences: what is there is found by kind and name, in the buffer's namespace, and what is not
// is said.
func TestReferences(t *testing.T) {
	elsewhere := meta("elsewhere")
	elsewhere.Namespace = "other"
	objects := []client.Object{
		&appsv1.Deployment{ObjectMeta: meta("web"), Spec: appsv1.DeploymentSpec{Template: core()}},
		&appsv1.StatefulSet{ObjectMeta: meta("db"), Spec: appsv1.StatefulSetSpec{Template: core()}},
		&appsv1.ReplicaSet{ObjectMeta: meta("old"), Spec: appsv1.ReplicaSetSpec{Template: core()}},
		&corev1.PodTemplate{ObjectMeta: meta("plain"), Template: core()},
		&appsv1.Deployment{ObjectMeta: elsewhere, Spec: appsv1.DeploymentSpec{Template: core()}},
	}
	for _, test := range []struct {
		kind, name string
		edit       func(*v1beta1.CapacityBuffer)
		reason     string
		message    string
	}{
		{"Deployment", "web", nil, "", ""},
		{"StatefulSet", "db", nil, "", ""},
		{"ReplicaSet", "old", nil, "", ""},
		{"Deployment", "web", func(b *v1beta1.CapacityBuffer) { b.Spec.ScalableRef.APIGroup = "apps" }, "", ""},
		{"Deployment", "web", func(b *v1beta1.CapacityBuffer) { b.Spec.ProvisioningStrategy = new("") }, "", ""},
		{"", "", func(b *v1beta1.CapacityBuffer) {
			b.Spec.ScalableRef, b.Spec.PodTemplateRef = nil, &v1beta1.LocalObjectRef{Name: "plain"}
		}, "", ""},
		{"Deployment", "db", nil, v1beta1.ReasonScalableRefNotFound, "spec.scalableRef: there is no Deployment db in the namespace"},
		{"Deployment", "elsewhere", nil, v1beta1.ReasonScalableRefNotFound, "there is no Deployment elsewhere"},
		{"Job", "web", nil, v1beta1.ReasonResolutionFailed, "spec.scalableRef.kind: Stowage knows Deployment, StatefulSet and ReplicaSet, not Job"},
		{"Deployment", "web", func(b *v1beta1.CapacityBuffer) { b.Spec.ScalableRef.APIGroup = "example.com" }, v1beta1.ReasonResolutionFailed, "spec.scalableRef.apiGroup"},
		{"", "", func(b *v1beta1.CapacityBuffer) { b.Spec.ScalableRef = nil }, v1beta1.ReasonResolutionFailed, "neither podTemplateRef nor scalableRef"},
		{"", "", func(b *v1beta1.CapacityBuffer) {
			b.Spec.ScalableRef, b.Spec.PodTemplateRef = nil, &v1beta1.LocalObjectRef{Name: "web"}
		}, v1beta1.ReasonPodTemplateNotFound, "there is no PodTemplate web"},
		{"Deployment", "web", func(b *v1beta1.CapacityBuffer) { b.Spec.ProvisioningStrategy = new("example.com/other") }, v1beta1.ReasonUnknownStrategy, "leaves example.com/other to others"},
		{"Deployment", "web", func(b *v1beta1.CapacityBuffer) { b.Spec.Replicas = nil }, v1beta1.ReasonResolutionFailed, "none of replicas"},
	} {
		b := bufferFor(test.kind, test.name, 2)
		if test.edit != nil {
			test.edit(b)
		}
		asks := Asks(snapshot(append(objects, b)...))
		if len(asks) != 1 || asks[0].Reason != test.reason || !strings.Contains(asks[0].Message, test.message) {
			t.Errorf("%s %s: %+v, want %s %q", test.kind, test.name, asks, test.reason, test.message)
			continue
		}
		if pods := Pods(asks); (test.reason == "") != (len(pods) == 2) {
			t.Errorf("%s %s: %d pods", test.kind, test.name, len(pods))
		}
	}
}

// TestPodLike: a pod is as the API server would make it, less urgent than all others, and without what
// belongs to others.
func TestPodLike(t *testing.T) {
	template := core()
	spec := &template.Spec
	spec.NodeName, spec.PriorityClassName, spec.RuntimeClassName = "n", "system-node-critical", new("boxed")
	spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "a"}}
	spec.Volumes = []corev1.Volume{
		{Name: "claim", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{}}},
		{Name: "own", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}},
		{Name: "empty"},
	}
	boxed := &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "boxed", UID: "boxed"}, Overhead: &nodev1.Overhead{PodFixed: list("cpu", "250m")}}
	deployment := &appsv1.Deployment{ObjectMeta: meta("web"), Spec: appsv1.DeploymentSpec{Template: template}}
	pods := Pods(Asks(snapshot(bufferFor("Deployment", "web", 2), deployment, boxed)))
	if len(pods) != 2 || pods[0].UID == pods[1].UID || pods[0].Name == pods[1].Name {
		t.Fatalf("pods %+v", pods)
	}
	p := pods[1]
	for what, ok := range map[string]bool{
		"is virtual":    Virtual(p) && BufferOf(p) == types.NamespacedName{Namespace: "default", Name: "spare"},
		"labels":        p.Labels["app"] == "web" && p.Namespace == "default",
		"node":          p.Spec.NodeName == "" && len(p.Spec.SchedulingGates) == 0,
		"priority":      *p.Spec.Priority == math.MinInt32 && p.Spec.PriorityClassName == "",
		"volumes":       len(p.Spec.Volumes) == 1 && p.Spec.Volumes[0].Name == "empty",
		"requests":      p.Spec.Containers[0].Resources.Requests.Cpu().Value() == 1,
		"overhead":      p.Spec.Overhead.Cpu().MilliValue() == 250,
		"template":      len(spec.Volumes) == 3 && len(template.Spec.Containers[0].Resources.Requests) == 0,
		"others aren't": !Virtual(&corev1.Pod{ObjectMeta: meta("x")}),
	} {
		if !ok {
			t.Errorf("the pod is wrong about: %s: %+v", what, p)
		}
	}
	asks := Asks(snapshot(bufferFor("Deployment", "web", 2), deployment))
	if asks[0].Reason != v1beta1.ReasonResolutionFailed || !strings.Contains(asks[0].Message, `there is no RuntimeClass "boxed"`) {
		t.Errorf("without the RuntimeClass: %+v", asks[0])
	}
}

// TestQuotas: each lowers what is asked for, buffers share them, and some are for other pods.
func TestQuotas(t *testing.T) {
	quota := func(name string, hard, used corev1.ResourceList) *corev1.ResourceQuota {
		return &corev1.ResourceQuota{ObjectMeta: meta(name), Spec: corev1.ResourceQuotaSpec{Hard: hard}, Status: corev1.ResourceQuotaStatus{Hard: hard, Used: used}}
	}
	scoped := quota("q", list("pods", "0"), nil)
	scoped.Spec.Scopes = []corev1.ResourceQuotaScope{corev1.ResourceQuotaScopeBestEffort}
	other := quota("q", list("pods", "0"), nil)
	other.Namespace = "other"
	uncounted := quota("q", list("pods", "3"), nil)
	uncounted.Status = corev1.ResourceQuotaStatus{}
	for name, test := range map[string]struct {
		quotas        []client.Object
		first, second int32
		said          string
	}{
		"none":         {nil, 4, 4, ""},
		"enough":       {[]client.Object{quota("q", list("cpu", "10", "pods", "100"), nil)}, 4, 4, ""},
		"shared":       {[]client.Object{quota("q", list("requests.cpu", "6"), nil)}, 4, 2, ""},
		"used":         {[]client.Object{quota("q", list("limits.cpu", "6"), list("limits.cpu", "3500m"))}, 2, 0, "ResourceQuota q lets in 2 of 4 more pods"},
		"exceeded":     {[]client.Object{quota("q", list("count/pods", "6"), list("count/pods", "9"))}, 0, 0, "ResourceQuota q lets in 0 of 4 more pods"},
		"two":          {[]client.Object{quota("a", list("pods", "3"), nil), quota("b", list("cpu", "5"), nil)}, 3, 0, "ResourceQuota a lets in 3 of 4 more pods"},
		"both ways":    {[]client.Object{quota("q", list("cpu", "9", "requests.cpu", "2"), nil)}, 2, 0, "ResourceQuota q lets in 2 of 4 more pods"},
		"scoped":       {[]client.Object{scoped}, 4, 4, ""},
		"elsewhere":    {[]client.Object{other}, 4, 4, ""},
		"uncounted":    {[]client.Object{uncounted}, 3, 0, "ResourceQuota q lets in 3 of 4 more pods"},
		"other things": {[]client.Object{quota("q", list("count/deployments.apps", "0", "services", "0", "requests.nvidia.com/gpu", "0"), nil)}, 4, 4, ""},
	} {
		t.Run(name, func(t *testing.T) {
			second := bufferFor("Deployment", "web", 4)
			second.ObjectMeta = meta("spare-2")
			asks := Asks(snapshot(append(test.quotas, bufferFor("Deployment", "web", 4), second, &appsv1.Deployment{ObjectMeta: meta("web"), Spec: appsv1.DeploymentSpec{Template: core()}})...))
			if asks[0].Replicas != test.first || asks[1].Replicas != test.second || asks[0].Quotas != test.said {
				t.Errorf("%d and %d, %q; want %d and %d, %q", asks[0].Replicas, asks[1].Replicas, asks[0].Quotas, test.first, test.second, test.said)
			}
		})
	}
}
