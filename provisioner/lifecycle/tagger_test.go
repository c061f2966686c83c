package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A depot is a cloud that has some machines, and notes what becomes of them.
type depot struct {
	cloudprovider.Provider
	machines   []cloudprovider.Instance
	terminated []string
	tagged     []string
	refuse     string // the machine that may not be tagged
}

func (d *depot) List(context.Context) ([]cloudprovider.Instance, error) { return d.machines, nil }

func (d *depot) Terminate(_ context.Context, id string) error {
	d.terminated = append(d.terminated, id)
	return nil
}

func (d *depot) tag(_ context.Context, id, claim string) error {
	if id == d.refuse {
		return errors.New("no")
	}
	d.tagged = append(d.tagged, id+" "+claim)
	return nil
}

// add puts a machine of a group into the depot, launched at noon.
func (d *depot) add(id, group, claim string) {
	d.machines = append(d.machines, cloudprovider.Instance{
		ID: id, ProviderID: "x:///a/" + id, State: cloudprovider.Running, Launched: noon, Claim: claim, NodePool: "web", Class: "default",
		Tags: map[string]string{TagLaunchGroup: group},
	})
}

// ofGroup is a NodeClaim of a group; without a machine if that is empty.
func ofGroup(name, group, machine string) *v1.NodeClaim {
	claim := &v1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-of-" + name), CreationTimestamp: metav1.NewTime(noon)}}
	claim.Annotations = map[string]string{v1.AnnotationLaunchGroup: group}
	if machine != "" {
		claim.Status.ProviderID = "x:///a/" + machine
	}
	return claim
}

// TestCollectorAndGroups: a machine of a group stays while a NodeClaim of the group waits, and what none has got goes then.
func TestCollectorAndGroups(t *testing.T) {
	deleted := ofGroup("c", "left/1/2", "")
	deleted.DeletionTimestamp = &metav1.Time{Time: noon}
	cluster := state.New()
	for _, claim := range []*v1.NodeClaim{ofGroup("a", "waits/0/3", "i-1"), ofGroup("b", "waits/1/3", ""), ofGroup("d", "left/0/2", "i-3"), deleted} {
		cluster.Observe(claim)
	}
	d := &depot{}
	d.add("i-1", "waits/0/3", "")
	d.add("i-2", "waits/0/3", "")
	d.add("i-3", "left/0/2", "")
	d.add("i-4", "left/0/2", "")
	c := &Collector{Cluster: cluster, Cloud: d, Instances: &Roster{Cloud: d}}
	for _, after := range []time.Duration{29 * time.Second, 31 * time.Second} {
		if len(d.terminated) > 0 {
			t.Errorf("%v went too early", d.terminated)
		}
		if _, err := c.Step(t.Context(), noon.Add(after)); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(d.terminated, []string{"i-4"}) {
		t.Errorf("%v were terminated, want the one that nobody waits for", d.terminated)
	}
	cluster.Observe(ofGroup("b", "waits/1/3", "i-2")) // and the third never came
	d.add("i-5", "waits/0/3", "")
	if _, err := c.Step(t.Context(), noon.Add(time.Minute)); err != nil || !slices.Equal(d.terminated, []string{"i-4", "i-4", "i-5"}) {
		t.Errorf("%v were terminated (%v)", d.terminated, err)
	}
}

// TestGroupsAreNotAdopted: a machine of a group is not taken for one that another controller bought.
func TestGroupsAreNotAdopted(t *testing.T) {
	claim := ofGroup("a", "", "")
	claim.Labels, claim.Spec.NodeClassRef.Name = map[string]string{v1.LabelNodePool: "web"}, "default"
	d := &depot{}
	d.add("i-1", "of-a-group/0/2", "")
	d.add("i-2", "", "")
	if mayBeFor(claim, d.machines[0]) || !mayBeFor(claim, d.machines[1]) {
		t.Error("a machine of a group may be another's, or one of no group may not")
	}
}

// TestTagger tags each machine once, one a second, but for those that an earlier process has tagged; one that
// cannot be tagged does not keep the others from it.
func TestTagger(t *testing.T) {
	cluster, d := state.New(), &depot{refuse: "i-1"}
	for n := range 4 {
		cluster.Observe(ofGroup(fmt.Sprint("c", n), fmt.Sprint("group/", n, "/5"), fmt.Sprint("i-", n)))
		d.add(fmt.Sprint("i-", n), "group/0/5", map[int]string{0: "c0"}[n])
	}
	cluster.Observe(ofGroup("waits", "group/4/5", ""))
	cluster.Observe(ofGroup("alone", "", "i-9"))
	tagger := &Tagger{Cluster: cluster, Instances: &Roster{Cloud: d}, Tag: d.tag}
	now, last := noon, -1
	for range 40 {
		again, err := tagger.Step(t.Context(), now)
		if err != nil && again < tagEvery || again <= 0 {
			t.Fatalf("again after %v, %v", again, err)
		}
		if early, _ := tagger.Step(t.Context(), now.Add(again/2)); len(d.tagged) > last+2 {
			t.Fatalf("two machines were tagged within %v; then again after %v", again, early)
		}
		last = len(d.tagged) - 1
		now = now.Add(again)
	}
	if want := []string{"i-2 c2", "i-3 c3"}; !slices.Equal(d.tagged, want) {
		t.Errorf("tagged were %v, want %v", d.tagged, want)
	}
	if now.Sub(noon) < 20*tagSlowest {
		t.Errorf("what fails was tried 40 times in %v", now.Sub(noon))
	}
	d.refuse = ""
	if _, err := tagger.Step(t.Context(), now); err != nil || d.tagged[len(d.tagged)-1] != "i-1 c1" {
		t.Errorf("tagged were %v (%v), want i-1 at last", d.tagged, err)
	}
	if again, err := tagger.Step(t.Context(), now.Add(time.Hour)); err != nil || again != tagIdle || len(d.tagged) != 3 {
		t.Errorf("again after %v, %v, tagged %v", again, err, d.tagged)
	}
}
