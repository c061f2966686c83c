package problem_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/provisioner/problem"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A check is of one random world.
type check func(t *testing.T, r *rand.Rand, w *world)

// forSeeds runs a check on n random worlds.
func forSeeds(t *testing.T, n uint64, c check) {
	t.Helper()
	for seed := range n {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { c.of(t, seed) })
	}
}

// forSeedsAtOnce is forSeeds on all cores.
func forSeedsAtOnce(t *testing.T, n uint64, c check) {
	t.Helper()
	t.Run("seed", func(t *testing.T) {
		for seed := range n {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				c.of(t, seed)
			})
		}
	})
}

// of checks the world of a seed. A failure prints the command that repeats it alone.
func (c check) of(t *testing.T, seed uint64) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("repeat with: go test ./provisioner/problem -run '^%s$'", t.Name())
		}
	}()
	r := rand.New(rand.NewPCG(seed, 0))
	c(t, r, randomWorld(r))
}

// A dice picks from menus that are short, so that ties and clashes are the rule.
type dice struct{ *rand.Rand }

func (d dice) one(of ...string) string { return of[d.IntN(len(of))] }

func (d dice) in(odds int) bool { return d.IntN(odds) == 0 }

// randomWorld makes a small cluster with everything that Solve knows to place by.
func randomWorld(r *rand.Rand) *world {
	d, w := dice{r}, newWorld()
	if err := w.defineCatalog(fmt.Sprintf(`
s1 cpu=2 memory=4Gi zones=a,b spot=%d on-demand=100 label:cloud/gen=1
s2 cpu=2 memory=8Gi zones=a,b,c spot=40 on-demand=100 label:cloud/gen=2
m1 cpu=4 memory=8Gi zones=%s spot=? on-demand=200 label:kubernetes.io/arch=arm64
m2 cpu=4 memory=16Gi zones=a,b,c spot=80 on-demand=200 label:cloud/gen=2
l1 cpu=8 memory=32Gi zones=%s spot=150 on-demand=400 label:cloud/gen=3`[1:],
		30+10*r.IntN(2), d.one("a", "a,c", "a,b,c"), d.one("b", "a,b", "a,b,c"))); err != nil {
		panic(err)
	}
	d.storage(w)
	for i := range 1 + r.IntN(3) {
		w.objects = append(w.objects, d.pool(i))
	}
	for i := range r.IntN(3) {
		w.objects = append(w.objects, d.daemonSet(i))
	}
	for _, name := range []string{"default", "other", "kube-system"} {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if d.in(2) {
			ns.Labels = map[string]string{"kind": d.one("dev", "prod")}
		}
		w.objects = append(w.objects, ns)
	}
	for i := range r.IntN(7) {
		d.machine(w, i)
	}
	for i := range 1 + r.IntN(4) {
		shape, claiming := d.pod(), d.claiming()
		d.prefer(shape)
		for j := range 1 + r.IntN(6) {
			p := shape.DeepCopy()
			p.Name = fmt.Sprintf("pending%d-%d", i, j)
			claiming.give(d, w, p, fmt.Sprint("pending", i))
			w.objects = append(w.objects, p)
		}
	}
	if d.in(3) {
		d.defaultSpreads(w)
	}
	w.input.RelaxMinValues = d.in(2)
	if d.in(2) {
		d.reserve(w)
	}
	if d.in(3) {
		d.commit(w)
	}
	return w
}

// commit has some commitments pay for some of what runs on demand, or for more than that.
func (d dice) commit(w *world) {
	plan := fmt.Sprintf("kind: ComputeSavingsPlan, dollarsPerHour: 0.%d", 1+d.IntN(9))
	if d.in(2) {
		plan = d.ofFamily()
	}
	plans := "{name: plan, discount: " + d.one("20%", "35%", "60%") + ", rates: {l1: 0.3}, " + plan + "}"
	if d.in(3) {
		plans += ", {name: another, discount: " + d.one("20%", "55%", "70%") + ", " + d.ofFamily() + "}"
	}
	read, err := pricing.ReadCommitments(strings.NewReader("commitments: ["+plans+"]"), "commitments", "r1", time.Time{})
	if err != nil {
		panic(err)
	}
	w.commitments = read.Commitments
	d.launch(w)
	if d.in(3) { // the names of types here are none that a file might have
		w.commitments = append(w.commitments, pricing.Commitment{
			Name: "reserved", Kind: pricing.ReservedInstance, InstanceType: d.one("s1", "s2", "m2"), Zone: d.one("", "a"), Amount: 1 + d.Int64N(3),
		})
	}
}

// launch has the machines that have joined be of a type and run on demand, most of them, in the zone that their
// nodes say.
func (d dice) launch(w *world) {
	zones := map[string]string{}
	for _, object := range w.objects {
		if node, ok := object.(*corev1.Node); ok {
			zones[node.Spec.ProviderID] = node.Labels[corev1.LabelTopologyZone]
		}
	}
	for _, object := range w.objects {
		if claim, ok := object.(*v1.NodeClaim); ok && claim.Status.ProviderID != "" && !d.in(6) {
			claim.Labels[corev1.LabelInstanceTypeStable], claim.Labels[v1.LabelCapacityType] = d.one("s1", "s2", "m2", "l1"), cloudprovider.OnDemand
			if zone := zones[claim.Status.ProviderID]; zone != "" {
				claim.Labels[corev1.LabelTopologyZone] = zone
			}
		}
	}
}

// ofFamily is a Savings Plan for one type.
func (d dice) ofFamily() string {
	return fmt.Sprintf("kind: EC2InstanceSavingsPlan, region: r1, family: %s, dollarsPerHour: 0.%d", d.one("s1", "s2", "m2"), 1+d.IntN(9))
}

// reserve adds reservations, some of them used up or refused, with pods that ask for no
// other machines and NodeClaims that are yet to be launched from one.
func (d dice) reserve(w *world) {
	for i := range 1 + d.IntN(3) {
		kind, name := &w.catalog.InstanceTypes[d.IntN(len(w.catalog.InstanceTypes))], fmt.Sprint("cr-", i)
		o := cloudprovider.Offering{InstanceType: kind.Name, Zone: d.one("a", "b", "c"), CapacityType: cloudprovider.Reserved, Reservation: name}
		kind.Offerings = append(kind.Offerings, o)
		slices.SortFunc(kind.Offerings, cloudprovider.Offering.Compare)
		w.catalog.Reservations[name] = cloudprovider.Reservation{Offering: o, Left: int64(d.IntN(4)), Labels: map[string]string{"cloud/reservation": name}}
		w.ranOut[o.String()] = d.in(6)
		for _, object := range w.objects {
			claim, ok := object.(*v1.NodeClaim)
			if ok && claim.Status.ProviderID == "" && d.in(2) {
				claim.Annotations[v1.AnnotationOfferings] = o.String()
			}
		}
	}
	reserved := map[bool]bool{true: d.in(2), false: d.in(4)} // by whether they are of the first kind
	for _, object := range w.objects {
		if p, ok := object.(*corev1.Pod); ok && strings.HasPrefix(p.Name, "pending") && reserved[strings.HasPrefix(p.Name, "pending0")] {
			p.Spec.NodeSelector = map[string]string{v1.LabelCapacityType: cloudprovider.Reserved}
		}
	}
}

// defaultSpreads gives the pods of some Services spreads, if they have none of their own.
func (d dice) defaultSpreads(w *world) {
	hard, soft := d.spread(), d.spread()
	soft.WhenUnsatisfiable = corev1.ScheduleAnyway
	hard.LabelSelector, soft.LabelSelector = nil, nil
	w.input.Spreads = problem.DefaultSpreads{"": {hard, soft}}
	for _, namespace := range []string{"default", "other"} {
		w.objects = append(w.objects, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web"}, Spec: corev1.ServiceSpec{Selector: map[string]string{"app": d.one("web", "db")}},
		})
	}
}

func (d dice) pool(i int) *v1.NodePool {
	p := &v1.NodePool{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("pool%d", i)}}
	weight := int32(1 + d.IntN(2))
	p.Spec.Weight = &weight
	t := &p.Spec.Template
	require := func(key string, values ...string) {
		t.Spec.Requirements = append(t.Spec.Requirements, v1.Requirement{Key: key, Operator: corev1.NodeSelectorOpIn, Values: values})
	}
	if d.in(3) {
		require(corev1.LabelTopologyZone, d.one("a", "b", "c"), "b")
	}
	if d.in(3) {
		require(v1.LabelCapacityType, "on-demand")
	}
	if d.in(3) {
		require("tier", "x", "y")
	}
	if d.in(5) {
		n := 1 + d.IntN(3)
		t.Spec.Requirements = append(t.Spec.Requirements, v1.Requirement{Key: d.one(corev1.LabelInstanceTypeStable, corev1.LabelTopologyZone, "cloud/gen"), Operator: corev1.NodeSelectorOpExists, MinValues: &n})
	}
	if d.in(2) {
		t.Metadata.Labels = map[string]string{"team": d.one("red", "blue")}
	}
	t.Spec.Taints = d.taints()
	if d.in(3) {
		t.Spec.StartupTaints = []corev1.Taint{{Key: "starting", Effect: corev1.TaintEffectNoSchedule}}
	}
	if d.in(4) {
		p.Spec.Limits = corev1.ResourceList{corev1.ResourceName(d.one("cpu", "nodes")): *resource.NewQuantity(int64(2+d.IntN(8)), resource.DecimalSI)}
	}
	if d.in(5) {
		p.Annotations = map[string]string{v1.AnnotationNodeSlack: d.one("3%", "20%")}
	}
	return p
}

func (d dice) taints() []corev1.Taint {
	if d.in(3) {
		return []corev1.Taint{{Key: "gpu", Value: "yes", Effect: corev1.TaintEffect(d.one("NoSchedule", "NoExecute", "PreferNoSchedule"))}}
	}
	return nil
}

func (d dice) daemonSet(i int) *appsv1.DaemonSet {
	ds := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: d.one("kube-system", "kube-system", "default"), Name: fmt.Sprintf("daemon%d", i)}}
	ds.Spec.Template.Labels = map[string]string{"app": d.one("agent", "web")}
	spec := &ds.Spec.Template.Spec
	if d.in(4) {
		spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			TopologyKey: corev1.LabelHostname, Namespaces: []string{"other"}, LabelSelector: d.labelSelector(),
		}}}}
	}
	spec.Containers = d.containers("100m", "300m")
	spec.Containers[0].Ports = d.ports()
	if d.in(2) {
		spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	}
	if d.in(2) {
		spec.NodeSelector = d.selector()
	}
	return ds
}

// machine adds a machine in one of the stages of its life, with pods on it.
func (d dice) machine(w *world, i int) {
	name := fmt.Sprintf("machine%d", i)
	zone := d.one("a", "b", "c")
	offering := "s2/" + zone + "/on-demand"
	claim := &v1.NodeClaim{ObjectMeta: metav1.ObjectMeta{
		Name: "claim-" + name, Labels: map[string]string{v1.LabelNodePool: "pool0"},
		Annotations: map[string]string{v1.AnnotationOfferings: offering},
	}}
	claim.Spec.Taints = d.taints()
	claim.Spec.StartupTaints = []corev1.Taint{{Key: "starting", Effect: corev1.TaintEffectNoSchedule}}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		corev1.LabelTopologyZone: zone, corev1.LabelArchStable: "amd64", corev1.LabelInstanceTypeStable: "s2", v1.LabelCapacityType: "on-demand", corev1.LabelHostname: name,
	}}}
	node.Status.Allocatable = corev1.ResourceList{"cpu": resource.MustParse(d.one("1", "2", "4")), "memory": resource.MustParse("8Gi"), "pods": resource.MustParse("6")}
	stage := d.IntN(5)
	switch stage {
	case 0: // on its way
		if d.in(2) {
			// Not of two capacity types: whether a spread whose owner selects by that
			// counts the machine is not known before the launch.
			claim.Annotations[v1.AnnotationOfferings] += ",m2/" + zone + "/on-demand"
		}
		w.objects = append(w.objects, claim)
	case 1, 2: // joined, initialized
		node.Spec.ProviderID, claim.Status.ProviderID = name, name
		claim.Status.Allocatable = corev1.ResourceList{"cpu": resource.MustParse("4"), "memory": resource.MustParse("8Gi"), "pods": resource.MustParse("6")}
		node.Spec.Taints = append(claim.Spec.Taints, claim.Spec.StartupTaints...)
		conditions := []string{v1.ConditionRegistered}
		if stage == 2 {
			conditions = append(conditions, v1.ConditionInitialized)
			node.Spec.Taints = claim.Spec.Taints
		}
		for _, c := range conditions {
			claim.Status.Conditions = append(claim.Status.Conditions, metav1.Condition{Type: c, Status: metav1.ConditionTrue})
		}
		w.objects = append(w.objects, claim, node)
	default: // somebody else's
		node.Spec.Taints = d.taints()
		node.Spec.Unschedulable = d.in(4)
		if d.in(6) {
			delete(node.Labels, corev1.LabelTopologyZone)
		}
		w.objects = append(w.objects, node)
	}
	if stage > 0 {
		w.objects = append(w.objects, d.csiNode(name)...)
	}
	for j := range d.IntN(4) {
		p := d.pod()
		p.Name = fmt.Sprintf("old%d-%d", i, j)
		if d.in(3) {
			(&claiming{class: "bound", mode: corev1.ReadWriteOnce}).give(d, w, p, "")
		}
		if stage == 0 {
			p.Annotations = map[string]string{annotationPlan: claim.Name}
		} else {
			p.Spec.NodeName = name
		}
		w.objects = append(w.objects, p)
	}
}

func (d dice) containers(cpu ...string) []corev1.Container {
	return []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse(d.one(cpu...)), corev1.ResourceMemory: resource.MustParse(d.one("256Mi", "1Gi", "3Gi")),
	}}}}
}

// ports are mostly none of the host's.
func (d dice) ports() (ports []corev1.ContainerPort) {
	if d.in(8) {
		for range 1 + d.IntN(2) {
			ports = append(ports, corev1.ContainerPort{
				ContainerPort: 80, HostPort: int32(80 + d.IntN(2)), HostIP: d.one("", "", "0.0.0.0", "10.0.0.1", "10.0.0.2", "::"), Protocol: corev1.Protocol(d.one("", "TCP", "UDP")),
			})
		}
	}
	return ports
}

func (d dice) selector() map[string]string {
	switch d.IntN(6) {
	case 0:
		return map[string]string{corev1.LabelTopologyZone: d.one("a", "b", "c")}
	case 1:
		return map[string]string{"team": d.one("red", "blue")}
	case 2:
		return map[string]string{"tier": d.one("x", "y")}
	case 3:
		return map[string]string{v1.LabelCapacityType: d.one("spot", "on-demand")}
	case 4:
		return map[string]string{"beta.kubernetes.io/arch": d.one("amd64", "arm64")}
	}
	return map[string]string{"cloud/gen": d.one("1", "2", "3")}
}

// pod makes a pod that asks for some of what there is to ask for.
func (d dice) pod() *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: d.one("default", "default", "other"), Labels: map[string]string{"app": d.one("web", "db"), "rev": d.one("1", "2")}}}
	p.Spec.Containers = d.containers("100m", "500m", "900m", "1500m")
	p.Spec.Containers[0].Ports = d.ports()
	if p.Spec.HostNetwork = len(p.Spec.Containers[0].Ports) > 0 && d.in(3); p.Spec.HostNetwork {
		p.Spec.Containers[0].Ports[0].HostPort = 0
	}
	if d.in(3) {
		p.Spec.NodeSelector = d.selector()
	}
	if d.in(3) {
		p.Spec.Tolerations = []corev1.Toleration{{Key: "gpu", Operator: corev1.TolerationOpExists}}
	}
	if d.in(6) {
		priority := int32(d.IntN(3))
		p.Spec.Priority = &priority
	}
	p.Spec.Affinity = &corev1.Affinity{}
	if d.in(4) {
		p.Spec.Affinity.NodeAffinity = &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{
			{MatchExpressions: []corev1.NodeSelectorRequirement{d.expression(), d.expression()}}, {MatchExpressions: []corev1.NodeSelectorRequirement{d.expression()}},
		}}}
	}
	if d.in(3) {
		for range 1 + d.IntN(2) {
			p.Spec.TopologySpreadConstraints = append(p.Spec.TopologySpreadConstraints, d.spread())
		}
	}
	if d.in(3) {
		p.Spec.Affinity.PodAntiAffinity = &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{d.term()}}
	}
	if d.in(4) {
		p.Spec.Affinity.PodAffinity = &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{d.term()}}
		if d.in(2) {
			p.Spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution = append(p.Spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution, d.term())
		}
	}
	return p
}

// prefer gives a pod preferences, or none.
func (d dice) prefer(p *corev1.Pod) {
	a := p.Spec.Affinity
	if d.in(2) {
		if a.NodeAffinity == nil {
			a.NodeAffinity = &corev1.NodeAffinity{}
		}
		a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution = []corev1.PreferredSchedulingTerm{
			{Weight: 1 + d.Int32N(100), Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{d.expression()}}}}
	}
	if d.in(2) {
		if a.PodAntiAffinity == nil {
			a.PodAntiAffinity = &corev1.PodAntiAffinity{}
		}
		a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution = []corev1.WeightedPodAffinityTerm{{Weight: 1 + d.Int32N(100), PodAffinityTerm: d.term()}}
	}
	if d.in(2) {
		if a.PodAffinity == nil {
			a.PodAffinity = &corev1.PodAffinity{}
		}
		a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution = []corev1.WeightedPodAffinityTerm{{Weight: 1 + d.Int32N(100), PodAffinityTerm: d.term()}}
	}
	if d.in(2) {
		c := d.spread()
		c.WhenUnsatisfiable = corev1.ScheduleAnyway
		p.Spec.TopologySpreadConstraints = append(p.Spec.TopologySpreadConstraints, c)
	}
}

func (d dice) expression() corev1.NodeSelectorRequirement {
	switch d.IntN(6) {
	case 0:
		return corev1.NodeSelectorRequirement{Key: "cloud/gen", Operator: corev1.NodeSelectorOpGt, Values: []string{"1"}}
	case 1:
		return corev1.NodeSelectorRequirement{Key: "cloud/gen", Operator: corev1.NodeSelectorOpLt, Values: []string{"3"}}
	case 2:
		return corev1.NodeSelectorRequirement{Key: "team", Operator: corev1.NodeSelectorOpDoesNotExist}
	case 3:
		return corev1.NodeSelectorRequirement{Key: "tier", Operator: corev1.NodeSelectorOpExists}
	case 4:
		return corev1.NodeSelectorRequirement{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpNotIn, Values: []string{d.one("a", "b", "c")}}
	}
	return corev1.NodeSelectorRequirement{Key: "tier", Operator: corev1.NodeSelectorOpNotIn, Values: []string{"x"}}
}

func (d dice) spread() corev1.TopologySpreadConstraint {
	c := corev1.TopologySpreadConstraint{
		MaxSkew: int32(1 + d.IntN(2)), TopologyKey: d.one(corev1.LabelTopologyZone, corev1.LabelTopologyZone, corev1.LabelHostname, "cloud/zone-id"),
		WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: d.labelSelector(),
	}
	honor, ignore := corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore
	if d.in(4) {
		c.NodeTaintsPolicy = &honor
	}
	if d.in(4) {
		c.NodeAffinityPolicy = &ignore
	}
	if d.in(4) {
		n := int32(1 + d.IntN(4))
		c.MinDomains = &n
	}
	if d.in(4) {
		c.MatchLabelKeys = []string{"rev"}
	}
	return c
}

func (d dice) term() corev1.PodAffinityTerm {
	t := corev1.PodAffinityTerm{TopologyKey: d.one(corev1.LabelHostname, corev1.LabelHostname, corev1.LabelTopologyZone), LabelSelector: d.labelSelector()}
	switch d.IntN(9) {
	case 0:
		t.Namespaces = []string{"other", "default"}
	case 3:
		t.Namespaces = []string{"other"}
		t.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "kind", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"dev"}}}}
	case 1:
		t.NamespaceSelector = &metav1.LabelSelector{}
	case 2:
		t.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"kind": "dev"}}
	}
	return t
}

func (d dice) labelSelector() *metav1.LabelSelector {
	switch d.IntN(8) {
	case 0:
		return &metav1.LabelSelector{}
	case 1:
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "rev", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"1"}}}}
	}
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": d.one("web", "db")}}
}
