package oracle

import (
	"fmt"
	"math/rand/v2"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/feature"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/podtopologyspread"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
)

// TestDefaultSpreads compares what kube-scheduler's own plugin makes of a pod without spreads by
// its configuration with what it makes, without any, of the pod that DefaultSpreads makes of it.
func TestDefaultSpreads(t *testing.T) {
	spread, refused := 0, 0
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 0))
		c, selecting := randomSelecting(r)
		b, err := newBoard(c)
		if err != nil {
			t.Fatal(err)
		}
		defaults := []corev1.TopologySpreadConstraint{
			{MaxSkew: 1 + r.Int32N(2), TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.DoNotSchedule, MatchLabelKeys: []string{"tier"}},
			{MaxSkew: 1, TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: pick(r, corev1.DoNotSchedule, corev1.ScheduleAnyway)},
		}
		p := randomOwned(r, "new")
		cluster := state.New()
		for _, o := range selecting {
			cluster.Observe(o)
		}
		with := problem.DefaultSpreads{"": defaults}.Apply(&cluster.Snapshot().Selecting, []*corev1.Pod{p})[0]
		want := verdicts(t, b, selecting, defaults, p)
		if got := verdicts(t, b, nil, nil, with); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("seed %d: pod %v of %v\nspread by %v\nis %v\nand by default %v", seed, p.Labels, p.OwnerReferences, with.Spec.TopologySpreadConstraints, got, want)
		}
		if with != p {
			spread++
		}
		for _, v := range want {
			if v != fwk.Success {
				refused++
				break
			}
		}
	}
	t.Logf("%d pods were spread, %d refused somewhere", spread, refused)
	if spread < 300 || spread > 700 || refused < 200 {
		t.Errorf("%d pods were spread, %d refused somewhere: that says little", spread, refused)
	}
}

// verdicts has the plugin look at a pod, and says what it thinks of each node.
func verdicts(t *testing.T, b *board, selecting []client.Object, defaults []corev1.TopologySpreadConstraint, p *corev1.Pod) (codes []fwk.Code) {
	t.Helper()
	h := &handle{nodes: b, store: store{informers.NewSharedInformerFactory(nil, 0)}}
	core, apps := h.store.Core().V1(), h.store.Apps().V1()
	for _, o := range selecting {
		var index cache.Indexer
		switch o.(type) {
		case *corev1.Service:
			index = core.Services().Informer().GetIndexer()
		case *corev1.ReplicationController:
			index = core.ReplicationControllers().Informer().GetIndexer()
		case *appsv1.ReplicaSet:
			index = apps.ReplicaSets().Informer().GetIndexer()
		case *appsv1.StatefulSet:
			index = apps.StatefulSets().Informer().GetIndexer()
		}
		if err := index.Add(o); err != nil {
			t.Fatal(err)
		}
	}
	args := &config.PodTopologySpreadArgs{DefaultingType: config.ListDefaulting, DefaultConstraints: defaults}
	plugin, err := podtopologyspread.New(t.Context(), args, h, feature.NewSchedulerFeaturesFromGates(utilfeature.DefaultFeatureGate))
	if err != nil {
		t.Fatal(err)
	}
	cycle := framework.NewCycleState()
	_, status := plugin.(fwk.PreFilterPlugin).PreFilter(t.Context(), cycle, p, b.nodes)
	for _, n := range b.nodes {
		code := status.Code()
		if code == fwk.Success {
			code = plugin.(fwk.FilterPlugin).Filter(t.Context(), cycle, p, n).Code()
		} else if code == fwk.Skip {
			code = fwk.Success
		}
		codes = append(codes, code)
	}
	return codes
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// randomSelecting is a small cluster with pods, and what selects them. Controllers are named for
// the labels that they select.
func randomSelecting(r *rand.Rand) (c Cluster, selecting []client.Object) {
	for i := range 3 + r.IntN(3) {
		c.Nodes = append(c.Nodes, node(fmt.Sprint("n", i), pick(r, "a", "b", "c")))
	}
	for i := range r.IntN(10) {
		p := randomOwned(r, fmt.Sprint("old", i))
		p.Spec.NodeName = pick(r, c.Nodes...).Name
		c.Pods = append(c.Pods, p)
	}
	for i := range r.IntN(3) {
		s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: pick(r, "default", "other"), Name: fmt.Sprint("s", i)}}
		s.Spec.Selector = pick(r, nil, map[string]string{}, map[string]string{"app": "web"}, map[string]string{"tier": "x"}, map[string]string{"app": "web", "tier": "y"})
		selecting = append(selecting, s)
	}
	for _, namespace := range []string{"default", "other"} {
		for _, app := range []string{"web", "db"} {
			at := metav1.ObjectMeta{Namespace: namespace, Name: app}
			selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}, MatchExpressions: []metav1.LabelSelectorRequirement{
				{Key: "tier", Operator: metav1.LabelSelectorOpIn, Values: []string{"x", "y"}}}}
			selecting = append(selecting,
				&corev1.ReplicationController{ObjectMeta: at, Spec: corev1.ReplicationControllerSpec{Selector: map[string]string{"app": app}}},
				&appsv1.ReplicaSet{ObjectMeta: at, Spec: appsv1.ReplicaSetSpec{Selector: selector}},
				&appsv1.StatefulSet{ObjectMeta: at, Spec: appsv1.StatefulSetSpec{Selector: selector}})
		}
	}
	return c, selecting
}

// randomOwned is a pod that some controller may have made.
func randomOwned(r *rand.Rand, name string) *corev1.Pod {
	p := pod(name)
	p.Namespace = pick(r, "default", "default", "other")
	p.Labels = map[string]string{"app": pick(r, "web", "db"), "tier": pick(r, "x", "y")}
	owner := pick(r, metav1.OwnerReference{}, metav1.OwnerReference{APIVersion: "batch/v1", Kind: "Job"}, metav1.OwnerReference{APIVersion: "v1", Kind: "ReplicationController"},
		metav1.OwnerReference{APIVersion: "apps/v1", Kind: "ReplicaSet"}, metav1.OwnerReference{APIVersion: "apps/v1", Kind: "StatefulSet"},
		metav1.OwnerReference{APIVersion: "e.com/v1", Kind: "ReplicaSet"})
	if owner.Kind != "" {
		owner.Name, owner.Controller = p.Labels["app"], new(r.IntN(5) > 0)
		p.OwnerReferences = []metav1.OwnerReference{owner}
	}
	return p
}
