package drift

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A cloud counts what it is asked.
type cloud struct {
	cloudprovider.Provider
	instances       []cloudprovider.Instance
	listed, catalog int
	asked           []string // instances that Drift was asked about
	failing         error    // of List
	outdated        string   // image that has drifted; "" means old
}

func (c *cloud) Catalog(context.Context, cloudprovider.NodeClassRef) (*cloudprovider.Catalog, error) {
	c.catalog++
	return catalog(), nil
}

func (c *cloud) List(context.Context) ([]cloudprovider.Instance, error) {
	c.listed++
	return c.instances, c.failing
}

func (c *cloud) Drift(q cloudprovider.DriftQuery) (cloudprovider.Drift, bool) {
	c.asked = append(c.asked, q.Instance.ID)
	return cloudprovider.Drift{Reason: "AMIDrift"}, q.Instance.ImageID == cmp.Or(c.outdated, "old") && q.Type != nil
}

// writes notes the names of what is written, and writes it to nobody but the state.
type writes struct {
	state.Writer
	names   []string
	refused map[string]error
}

func (w *writes) PatchStatus(_ context.Context, obj client.Object, _ client.Patch) error {
	if err := w.refused[obj.GetName()]; err != nil {
		return err
	}
	w.names = append(w.names, obj.GetName())
	obj.SetResourceVersion(obj.GetResourceVersion() + "0")
	return nil
}

// rig is a controller over a sound pool and n launched claims of it.
func rig(n int) (*Controller, *cloud, *writes) {
	c := &Controller{Cluster: state.New()}
	p := &v1.NodePool{ObjectMeta: metav1.ObjectMeta{Name: "pool", UID: "pool", ResourceVersion: "1", Generation: 1}}
	p.Annotations = map[string]string{v1.AnnotationNodePoolHash: p.Hash(), v1.AnnotationNodePoolHashVersion: v1.NodePoolHashVersion}
	for _, key := range []string{corev1.LabelArchStable, corev1.LabelTopologyZone, v1.LabelCapacityType, "team", "cpus"} {
		p.Spec.Template.Spec.Requirements = append(p.Spec.Template.Spec.Requirements, v1.Requirement{Key: key, Operator: exists})
	}
	v1.SetCondition(&p.Status.Conditions, metav1.Condition{Type: v1.ConditionValidationSucceeded, Status: metav1.ConditionTrue, ObservedGeneration: 1}, noon)
	c.Cluster.Observe(p)
	sky, pen := &cloud{}, &writes{}
	for i := range n {
		claim := facts().Claim
		claim.Name = fmt.Sprintf("claim-%04d", i)
		claim.UID, claim.ResourceVersion = types.UID(claim.Name), "1"
		claim.Annotations[v1.AnnotationNodePoolHash] = p.Hash()
		claim.Status.ProviderID = "cloud:///" + claim.Name
		v1.SetCondition(&claim.Status.Conditions, metav1.Condition{Type: v1.ConditionLaunched, Status: metav1.ConditionTrue}, noon)
		c.Cluster.Observe(claim)
		sky.instances = append(sky.instances, cloudprovider.Instance{ID: claim.Name, ProviderID: claim.Status.ProviderID, State: cloudprovider.Running})
	}
	c.Cloud, c.Instances, c.Write = sky, &lifecycle.Roster{Cloud: sky}, state.Recorded(pen, c.Cluster)
	return c, sky, pen
}

// TestOneListForAll: however many claims there are, the cloud is asked for one list in
// an interval, and one catalog for all claims of a class.
func TestOneListForAll(t *testing.T) {
	c, sky, pen := rig(10)
	sky.instances[3].ImageID = "old"
	for _, at := range []time.Duration{0, time.Minute, Interval, Interval + time.Second} {
		again, err := c.Step(t.Context(), noon.Add(at))
		if err != nil || again != Interval {
			t.Fatalf("Step: %v, %v", again, err)
		}
	}
	if sky.listed != 2 || sky.catalog != 4 || len(sky.asked) != 41 { // what has drifted is looked at twice
		t.Errorf("in five minutes: %d lists, %d catalogs, %d machines looked at", sky.listed, sky.catalog, len(sky.asked))
	}
	if !slices.Equal(pen.names, []string{"claim-0003"}) {
		t.Errorf("written are %v, want what has drifted, once", pen.names)
	}
}

// TestDriftIsOfNow: what a machine is by an older list is no drift. A reservation that ends changes the
// NodeClass and the machine at once, and the NodeClass is heard of first.
func TestDriftIsOfNow(t *testing.T) {
	c, sky, pen := rig(3)
	step := func(after time.Duration) {
		t.Helper()
		if _, err := c.Step(t.Context(), noon.Add(after)); err != nil {
			t.Fatal(err)
		}
	}
	sky.instances[0].ImageID, sky.instances[1].ImageID = "fine", "fine"
	step(0)
	sky.outdated = "fine"
	sky.instances = slices.Clone(sky.instances) // a Roster keeps the list that it got
	sky.instances[0].ImageID = "changed"
	step(time.Minute)
	if !slices.Equal(pen.names, []string{"claim-0001"}) || sky.listed != 2 {
		t.Errorf("written are %v, with %d lists", pen.names, sky.listed)
	}
	if step(2 * time.Minute); sky.listed != 2 {
		t.Errorf("what was found to have drifted takes a list each time: %d", sky.listed)
	}
}

// TestWithoutAList: what needs no list is judged all the same, and the error is told.
func TestWithoutAList(t *testing.T) {
	c, sky, pen := rig(2)
	sky.failing = errors.New("out of reach")
	claim, _ := c.Cluster.Snapshot().NodeClaims.Get("claim-0001")
	claim = claim.DeepCopy()
	claim.ResourceVersion = "2"
	claim.Annotations[v1.AnnotationNodePoolHash] = "old"
	c.Cluster.Observe(claim)
	if _, err := c.Step(t.Context(), noon); !errors.Is(err, sky.failing) {
		t.Errorf("the error is %v", err)
	}
	if len(sky.asked) > 0 || !slices.Equal(pen.names, []string{"claim-0001"}) {
		t.Errorf("asked about %v, written %v", sky.asked, pen.names)
	}
}

// TestOneThatCannotBeWritten holds up no other.
func TestOneThatCannotBeWritten(t *testing.T) {
	c, sky, pen := rig(3)
	for i := range sky.instances {
		sky.instances[i].ImageID = "old"
	}
	pen.refused = map[string]error{"claim-0001": errors.New("refused")}
	if _, err := c.Step(t.Context(), noon); !errors.Is(err, pen.refused["claim-0001"]) {
		t.Errorf("the error is %v", err)
	}
	if !slices.Equal(pen.names, []string{"claim-0000", "claim-0002"}) {
		t.Errorf("written are %v", pen.names)
	}
}

// TestPoolsThatSayNothing: of these, no claim is judged by the template.
func TestPoolsThatSayNothing(t *testing.T) {
	for name, edit := range map[string]func(*v1.NodePool){
		"sound":              func(*v1.NodePool) {}, // the one that says something
		"not sound":          func(p *v1.NodePool) { p.Status.Conditions[0].Status = metav1.ConditionFalse },
		"not looked at yet":  func(p *v1.NodePool) { p.Status.Conditions = nil },
		"judged before":      func(p *v1.NodePool) { p.Generation++ },
		"of another version": func(p *v1.NodePool) { p.Annotations[v1.AnnotationNodePoolHashVersion] = "v3" },
		"not stamped anew":   func(p *v1.NodePool) { p.Annotations[v1.AnnotationNodePoolHash] = "old" },
		"being deleted":      func(p *v1.NodePool) { p.DeletionTimestamp = &metav1.Time{Time: noon} },
		"gone":               func(p *v1.NodePool) { p.Name = "other" },
	} {
		c, _, pen := rig(1)
		p, _ := c.Cluster.Snapshot().NodePools.Get("pool")
		c.Cluster.Forget(p)
		next := p.DeepCopy()
		next.UID, next.ResourceVersion = "next", "2"
		next.Spec.Template.Metadata.Labels = map[string]string{"team": "red"}
		next.Spec.Template.Spec.Requirements = []v1.Requirement{{Key: "team", Operator: in, Values: []string{"red"}}}
		next.Annotations[v1.AnnotationNodePoolHash] = next.Hash()
		edit(next)
		c.Cluster.Observe(next)
		if _, err := c.Step(t.Context(), noon); err != nil || len(pen.names) > 0 != (name == "sound") {
			t.Errorf("%s: written %v, %v", name, pen.names, err)
		}
	}
}

// BenchmarkStep is one look at a large cluster in which nothing has drifted.
func BenchmarkStep(b *testing.B) {
	c, _, pen := rig(5000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Step(b.Context(), noon); err != nil || len(pen.names) > 0 {
			b.Fatal(err, pen.names)
		}
	}
}
