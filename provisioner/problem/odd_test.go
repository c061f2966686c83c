package problem_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/problem"
)

// Pods that kube-apiserver accepts and nobody expects, and some that even it would not.

// A menu makes choices, of which the first is nothing out of the ordinary.
type menu struct {
	*rand.Rand
	many int // how many things may still be made many of: no API server stores a million
}

func pick[T any](m *menu, of ...T) T { return of[m.IntN(len(of))] }

// several makes a few of something, mostly none, or very many that are all the same.
func several[T any](m *menu, make func() T) (all []T) {
	switch n := m.IntN(12); n {
	case 0:
		all = []T{make()}
		more := min(m.many, pick(m, 1, 50, 1000))
		m.many -= more
		return append(all, slices.Repeat(all, more)...)
	case 1, 2, 3:
		for range n {
			all = append(all, make())
		}
	}
	return all
}

var (
	oddLabels     = []string{"app", "", "example.com/" + strings.Repeat("x", 63), "kubernetes.io/hostname", "topology.kubernetes.io/zone", "ключ"}
	oddValues     = []string{"web", "", "a", "b", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "übel", strings.Repeat("v", 63), "n0"}
	oddQuantities = []string{"1", "100m", "2", "0", "1n", "0.5", "9223372036854775807", "1E", "100E", "1e-9", "9223372036854775", "-1"}
	oddResources  = []corev1.ResourceName{"cpu", "memory", "ephemeral-storage", "hugepages-2Mi", "example.com/gpu", "pods", "example.com/" + corev1.ResourceName(strings.Repeat("y", 63))}
	oddNumbers    = []int32{1, 0, 2, math.MaxInt32, math.MinInt32, -1, 100}
	oddKeys       = []string{"topology.kubernetes.io/zone", "kubernetes.io/hostname", "", "example.com/rack", "app", "topology.kubernetes.io/region"}
)

func (m *menu) labels() map[string]string {
	all := map[string]string{}
	for range m.IntN(4) {
		all[pick(m, oddLabels...)] = pick(m, oddValues...)
	}
	return all
}

func (m *menu) values() []string { return several(m, func() string { return pick(m, oddValues...) }) }

func (m *menu) names() []string {
	return several(m, func() string { return pick(m, "default", "", "nowhere", "kube-system") })
}

func (m *menu) selector() *metav1.LabelSelector {
	if m.IntN(6) == 1 {
		return nil
	}
	return &metav1.LabelSelector{MatchLabels: m.labels(), MatchExpressions: several(m, func() metav1.LabelSelectorRequirement {
		return metav1.LabelSelectorRequirement{
			Key: pick(m, oddLabels...), Operator: pick(m, metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn, metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist, "Like", ""), Values: m.values(),
		}
	})}
}

func (m *menu) nodeRequirement() corev1.NodeSelectorRequirement {
	return corev1.NodeSelectorRequirement{
		Key: pick(m, "cloud/cpu", "metadata.name", "kubernetes.io/hostname", "topology.kubernetes.io/zone", "", "app"),
		Operator: pick(m, corev1.NodeSelectorOpExists, corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn, corev1.NodeSelectorOpDoesNotExist,
			corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt, "Gte", "~", ""),
		Values: m.values(),
	}
}

func (m *menu) nodeTerm() corev1.NodeSelectorTerm {
	return corev1.NodeSelectorTerm{MatchExpressions: several(m, m.nodeRequirement), MatchFields: several(m, m.nodeRequirement)}
}

func (m *menu) podTerm() corev1.PodAffinityTerm {
	t := corev1.PodAffinityTerm{
		LabelSelector: m.selector(), Namespaces: m.names(), TopologyKey: pick(m, oddKeys...),
		MatchLabelKeys: several(m, func() string { return pick(m, oddLabels...) }), MismatchLabelKeys: several(m, func() string { return pick(m, oddLabels...) }),
	}
	if m.IntN(3) == 1 {
		t.NamespaceSelector = m.selector()
	}
	return t
}

func (m *menu) weightedTerm() corev1.WeightedPodAffinityTerm {
	return corev1.WeightedPodAffinityTerm{Weight: pick(m, oddNumbers...), PodAffinityTerm: m.podTerm()}
}

func (m *menu) affinity() *corev1.Affinity {
	a := &corev1.Affinity{}
	switch m.IntN(4) {
	case 0:
		return nil
	case 1:
		a.NodeAffinity = &corev1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: several(m, func() corev1.PreferredSchedulingTerm {
			return corev1.PreferredSchedulingTerm{Weight: pick(m, oddNumbers...), Preference: m.nodeTerm()}
		})}
		if m.IntN(2) == 1 {
			a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = &corev1.NodeSelector{NodeSelectorTerms: several(m, m.nodeTerm)}
		}
	case 2:
		a.PodAffinity = &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: several(m, m.podTerm), PreferredDuringSchedulingIgnoredDuringExecution: several(m, m.weightedTerm)}
	case 3:
		a.PodAntiAffinity = &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: several(m, m.podTerm), PreferredDuringSchedulingIgnoredDuringExecution: several(m, m.weightedTerm)}
	}
	return a
}

func (m *menu) spread() corev1.TopologySpreadConstraint {
	c := corev1.TopologySpreadConstraint{
		MaxSkew: pick(m, oddNumbers...), TopologyKey: pick(m, oddKeys...), LabelSelector: m.selector(),
		WhenUnsatisfiable: pick(m, corev1.DoNotSchedule, corev1.ScheduleAnyway, ""), MatchLabelKeys: several(m, func() string { return pick(m, oddLabels...) }),
	}
	if m.IntN(2) == 1 {
		c.MinDomains = new(pick(m, oddNumbers...))
		c.NodeAffinityPolicy = new(pick(m, corev1.NodeInclusionPolicyIgnore, corev1.NodeInclusionPolicyHonor, ""))
		c.NodeTaintsPolicy = new(pick(m, corev1.NodeInclusionPolicyIgnore, corev1.NodeInclusionPolicyHonor, ""))
	}
	return c
}

func (m *menu) resources() corev1.ResourceList {
	list := corev1.ResourceList{}
	for range m.IntN(4) {
		list[pick(m, oddResources...)] = resource.MustParse(pick(m, oddQuantities...))
	}
	return list
}

func (m *menu) container() corev1.Container {
	c := corev1.Container{Name: pick(m, "c", ""), Resources: corev1.ResourceRequirements{Requests: m.resources()}}
	c.Ports = several(m, func() corev1.ContainerPort {
		return corev1.ContainerPort{HostPort: pick(m, oddNumbers...), Protocol: pick(m, "TCP", "", corev1.ProtocolSCTP), HostIP: pick(m, "", "0.0.0.0", "::", "127.0.0.1", "::ffff:127.0.0.1", "no address")}
	})
	if m.IntN(4) == 1 {
		c.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
	}
	return c
}

func (m *menu) volume() corev1.Volume {
	v := corev1.Volume{Name: pick(m, "v", "")}
	switch m.IntN(5) {
	case 1:
		v.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: pick(m, "bare", "", "none", "waits")}
	case 2:
		v.Ephemeral = &corev1.EphemeralVolumeSource{}
	case 3:
		v.CSI = &corev1.CSIVolumeSource{}
	case 4:
		v.AWSElasticBlockStore = &corev1.AWSElasticBlockStoreVolumeSource{}
	}
	return v
}

func (m *menu) pod(name string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: pick(m, "default", "kube-system"), Labels: m.labels(), Annotations: map[string]string{"ø": "☃"}}}
	p.Spec = corev1.PodSpec{
		Containers: append(several(m, m.container), m.container()), InitContainers: several(m, m.container), Overhead: m.resources(),
		Affinity: m.affinity(), TopologySpreadConstraints: several(m, m.spread), Volumes: several(m, m.volume),
	}
	if m.IntN(3) == 1 {
		p.Spec.NodeSelector = m.labels()
	}
	if m.IntN(3) == 1 {
		p.Spec.Priority = new(pick(m, oddNumbers...))
	}
	if m.IntN(5) == 1 {
		p.Spec.Resources = &corev1.ResourceRequirements{Requests: m.resources()}
	}
	p.Spec.Tolerations = several(m, func() corev1.Toleration {
		return corev1.Toleration{Key: pick(m, "", "gpu", "ключ"), Operator: pick(m, "", corev1.TolerationOpExists, corev1.TolerationOpEqual, "Lt", "~"), Value: pick(m, oddValues...), Effect: pick(m, "", corev1.TaintEffectNoSchedule, "~")}
	})
	return p
}

// oddWorld has one of everything that pods refer to.
func oddWorld(t testing.TB) *world {
	t.Helper()
	w := newWorld()
	if err := w.defineCatalog("small  cpu=2 memory=10Gi zones=a,b spot=30 on-demand=100 label:cloud/cpu=2\nlarge  cpu=8 memory=40Gi zones=b,c spot=120 label:cloud/cpu=8"); err != nil {
		t.Fatal(err)
	}
	if err := w.apply(`
{apiVersion: karpenter.sh/v1, kind: NodePool, metadata: {name: general}, spec: {limits: {cpu: "40"}, template: {spec: {requirements: []}}}}
---
{apiVersion: karpenter.sh/v1, kind: NodePool, metadata: {name: gpu}, spec: {template: {metadata: {labels: {app: web}}, spec: {requirements: [{key: cloud/cpu, operator: Gt, values: ["4"]}], taints: [{key: gpu, value: a, effect: NoSchedule}]}}}}
---
{apiVersion: v1, kind: Node, metadata: {name: n0, labels: {topology.kubernetes.io/zone: a, app: web}}, status: {allocatable: {cpu: "4", memory: 4Gi, pods: 10}}}
---
{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {app: a}}, status: {allocatable: {cpu: "1", memory: 100E, pods: 2}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: default, labels: {app: web}}}
---
{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: agent, namespace: kube-system}, spec: {template: {metadata: {labels: {app: b}}, spec: {tolerations: [{operator: Exists}], containers: [{resources: {requests: {cpu: 100m}}}]}}}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: bare, namespace: default}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: waits, namespace: default}, spec: {storageClassName: made}}
---
{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: made}, provisioner: disk.csi, volumeBindingMode: WaitForFirstConsumer, allowedTopologies: [{}, {matchLabelExpressions: [{key: topology.kubernetes.io/zone, values: [b, b]}]}]}
`); err != nil {
		t.Fatal(err)
	}
	return w
}

// saysAll decides about a world and checks that nobody is forgotten: each pod has a place or a
// reason, once. It returns all that was said.
func saysAll(t *testing.T, w *world) string {
	t.Helper()
	in := w.question()
	tr, s, err := problem.Decide(t.Context(), in)
	if err != nil {
		t.Fatalf("solving: %v\n%s", err, tr.Problem.Text())
	}
	if err := binpack.Verify(tr.Problem, s); err != nil {
		t.Fatalf("refused: %v\n%s\n%s", err, tr.Problem.Text(), s.Text(tr.Problem))
	}
	seen := map[string]int{}
	count := func(pods []*corev1.Pod) {
		for _, p := range pods {
			seen[p.Namespace+"/"+p.Name]++
		}
	}
	launches, placements := tr.Placed(s)
	for _, l := range launches {
		count(l.Pods)
	}
	for _, p := range placements {
		count(p.Pods)
	}
	for i := range s.Unplaced {
		u := &s.Unplaced[i]
		pods := tr.Pods[u.Group]
		count(pods[len(pods)-int(u.Count):])
		for _, r := range tr.Explain(u) {
			if r.Code == "" || len(r.Message) < 10 || strings.HasSuffix(r.Message, ": ") || strings.Contains(r.Message, "there is no NodePool") {
				t.Errorf("%s says %q", tr.Problem.Groups[u.Group].ID, r)
			}
		}
	}
	for _, p := range in.Pods {
		if n := seen[p.Namespace+"/"+p.Name]; n != 1 {
			t.Errorf("pod %s was placed or explained %d times", p.Name, n)
		}
	}
	return tr.Problem.Text() + placesOf(tr, s) + claimsOf(tr, s)
}

// FuzzOddPods: whatever pods ask for, wait or run, nothing panics, the plan is accepted, and it does
// not depend on the order of anything.
func FuzzOddPods(f *testing.F) {
	for seed := range uint64(300) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		m, w := &menu{rand.New(rand.NewPCG(seed, 0)), 1000}, oddWorld(t)
		for i := range 1 + m.IntN(3) {
			p := m.pod(fmt.Sprint("bound", i))
			p.Spec.NodeName = pick(m, "n0", "n1", "gone")
			w.objects = append(w.objects, p)
		}
		for i := range 1 + m.IntN(4) {
			p := m.pod(fmt.Sprint("odd", i))
			for j := range 1 + m.IntN(3) {
				alike := p.DeepCopy()
				alike.Name += fmt.Sprint("-", j)
				w.objects = append(w.objects, alike)
			}
		}
		first := saysAll(t, w)
		slices.Reverse(w.objects)
		if second := saysAll(t, w); first != second {
			t.Errorf("in another order:\n%s\nand first:\n%s", second, first)
		}
	})
}

// where is a pod that must meet one of some terms.
func where(terms ...corev1.NodeSelectorTerm) corev1.PodSpec {
	return corev1.PodSpec{Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: terms}}}}
}

// cpus is a term on a label that both instance types have.
func cpus(op corev1.NodeSelectorOperator, values ...string) corev1.NodeSelectorTerm {
	return corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "cloud/cpu", Operator: op, Values: values}}}
}

// claims is a pod with a volume of a claim.
func claims(name string) corev1.PodSpec {
	return corev1.PodSpec{Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}}}}}
}

// TestOddPodsByName: of the nastiest it is known what becomes of them, and an ordinary pod beside
// them finds its place.
func TestOddPodsByName(t *testing.T) {
	const placed = "placed"
	everybody, zone := &metav1.LabelSelector{}, corev1.LabelTopologyZone
	apart := func(n int, term corev1.PodAffinityTerm) corev1.PodSpec {
		return corev1.PodSpec{Affinity: &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: slices.Repeat([]corev1.PodAffinityTerm{term}, n)}}}
	}
	spread := func(c corev1.TopologySpreadConstraint) corev1.PodSpec {
		c.WhenUnsatisfiable, c.TopologyKey = corev1.DoNotSchedule, zone
		return corev1.PodSpec{TopologySpreadConstraints: []corev1.TopologySpreadConstraint{c, c}}
	}
	asks := func(requests corev1.ResourceList) corev1.PodSpec {
		return corev1.PodSpec{Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: requests}}}}
	}
	port := func(ip string) corev1.PodSpec {
		return corev1.PodSpec{Containers: []corev1.Container{{Ports: slices.Repeat([]corev1.ContainerPort{{HostPort: 65535, HostIP: ip}}, 1000)}}}
	}
	byName := corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: corev1.NodeSelectorOpNotIn, Values: []string{"n0", "n1"}}}}
	var many []corev1.NodeSelectorTerm
	for i := range 1000 {
		many = append(many, cpus(corev1.NodeSelectorOpIn, fmt.Sprint(1000+i)))
	}
	heavy := corev1.PodSpec{Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: slices.Repeat([]corev1.PreferredSchedulingTerm{{Weight: math.MaxInt32, Preference: cpus(corev1.NodeSelectorOpExists)}, {Weight: math.MinInt32}}, 500)}}}
	for name, c := range map[string]struct {
		spec corev1.PodSpec
		want string
	}{
		"1,000 equal anti-affinities":              {apart(1000, corev1.PodAffinityTerm{TopologyKey: corev1.LabelHostname, LabelSelector: everybody}), placed},
		"1,000 anti-affinities to nobody":          {apart(1000, corev1.PodAffinityTerm{TopologyKey: zone}), placed},
		"1,000 node terms of which none is met":    {where(many...), "NoCompatibleOffer"},
		"1,000 node terms, the last of them good":  {where(append(many[:999:999], cpus(corev1.NodeSelectorOpExists))...), placed},
		"a node term that cannot be read, one can": {where(cpus("~"), corev1.NodeSelectorTerm{}, cpus(corev1.NodeSelectorOpExists)), placed},
		"no node term but one without expressions": {where(corev1.NodeSelectorTerm{}), "NoCompatibleOffer"},
		"no node that has a name":                  {where(byName), placed},
		"more than what is no label":               {where(cpus(corev1.NodeSelectorOpGt, "-9223372036854775808")), "NoCompatibleOffer"},
		"more than nothing":                        {where(cpus(corev1.NodeSelectorOpGt, "0")), placed},
		"more than the largest integer":            {where(cpus(corev1.NodeSelectorOpGt, "9223372036854775807")), "NoCompatibleOffer"},
		"less than what is no integer":             {where(cpus(corev1.NodeSelectorOpLt, "9223372036854775808")), "NoCompatibleOffer"},
		"weights beyond reason":                    {heavy, placed},
		"a spread of nobody":                       {spread(corev1.TopologySpreadConstraint{MaxSkew: 1}), placed},
		"a spread that nothing upsets":             {spread(corev1.TopologySpreadConstraint{MaxSkew: math.MaxInt32, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "odd"}}}), placed},
		"more domains than there are":              {spread(corev1.TopologySpreadConstraint{MaxSkew: 1, MinDomains: new(int32(math.MaxInt32)), LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "odd"}}}), placed}, // one in each
		"nothing, in zeros":                        {asks(corev1.ResourceList{"cpu": {}, "example.com/gpu": {}}), placed},
		"a billionth":                              {asks(corev1.ResourceList{"cpu": resource.MustParse("1n"), "memory": resource.MustParse("1n")}), placed},
		"all the memory there is":                  {asks(corev1.ResourceList{"memory": resource.MustParse("9223372036854775807")}), "InsufficientResources"},
		"a thousand times one port":                {port("::ffff:10.0.0.1"), placed},
		"a port of no address":                     {port("somewhere"), placed},
		"a volume of no kind":                      {corev1.PodSpec{Volumes: []corev1.Volume{{}}}, placed},
		"a claim without a spec":                   {claims("bare"), "WaitsForVolume"},
		"a claim without a name":                   {claims(""), "WaitsForVolume"},
		"the highest priority":                     {corev1.PodSpec{Priority: new(int32(math.MaxInt32))}, placed},
		"the lowest priority":                      {corev1.PodSpec{Priority: new(int32(math.MinInt32))}, placed},
	} {
		t.Run(name, func(t *testing.T) {
			w := oddWorld(t)
			for i, p := range []*corev1.Pod{{Spec: c.spec}, {Spec: corev1.PodSpec{}}} {
				p.Name, p.Labels = []string{"odd", "ordinary"}[i], map[string]string{"app": []string{"odd", "ordinary"}[i]}
				p.Annotations = map[string]string{"ø": "☃"}
				if len(p.Spec.Containers) == 0 {
					p.Spec.Containers = []corev1.Container{{}}
				}
				w.objects = append(w.objects, p)
			}
			said := saysAll(t, w)
			if strings.Contains(said, "! ordinary") || strings.Contains(said, "! odd") != (c.want != placed) || c.want != placed && !strings.Contains(said, "    "+c.want+": ") {
				t.Errorf("want %s:\n%s", c.want, said)
			}
		})
	}
}
