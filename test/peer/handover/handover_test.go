package handover

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// TestTakingOver has Karpenter bring NodeClaims to every stage, and Stowage take
// over.
func TestTakingOver(t *testing.T) {
	l := newLand(t)
	start := time.Now()
	k := startKarpenter(l, start, l.wanted())
	k.classes()
	for _, name := range []string{"ready", "other", "doomed", "launched"} {
		k.propose(name)
		k.live(name)
		if name != "launched" {
			k.join(name)
			k.live(name)
		}
	}
	k.everything()
	unwritten := k.propose("unwritten")
	if _, err := k.cloud.Create(k.ctx, unwritten); err != nil { // and the process ends
		t.Fatal(err)
	}
	k.propose("made")
	doomed := k.claim("doomed")
	if err := k.client.Delete(k.ctx, doomed); err != nil {
		t.Fatal(err)
	}
	before := l.running()
	s := startStowage(l, start.Add(time.Second), k.stop())
	s.everything(5 * time.Second)
	for _, name := range []string{"launched", "unwritten", "made"} {
		s.join(name)
	}
	s.everything(5 * time.Minute)
	for _, name := range []string{"ready", "other", "launched", "unwritten", "made"} {
		claim := s.claim(name)
		if claim == nil || claim.DeletionTimestamp != nil || !v1.IsTrue(claim.Status.Conditions, v1.ConditionReady) ||
			v1.GetCondition(claim.Status.Conditions, v1.ConditionDrifted) != nil {
			t.Errorf("%s: %+v", name, claim)
		}
		s.stamped(name)
	}
	if s.claim("doomed") != nil {
		t.Errorf("doomed: %+v", s.claim("doomed"))
	}
	after := l.running()
	gone := slices.DeleteFunc(slices.Clone(before), func(id string) bool { return slices.Contains(after, id) })
	if want := doomed.Status.ProviderID; len(gone) != 1 || want[len(want)-len(gone[0]):] != gone[0] || len(after) != len(before) {
		t.Errorf("instances before: %v, after: %v", before, after)
	}
	// And back: nothing of either drifts, or goes.
	untouched(t, l, s)
}

// TestEditsAfterTakingOver: that hashes were written anew hides nothing that
// happens later.
func TestEditsAfterTakingOver(t *testing.T) {
	l := newLand(t)
	k := startKarpenter(l, time.Now(), l.wanted())
	k.classes()
	k.propose("one")
	k.live("one")
	k.join("one")
	k.everything()
	s := startStowage(l, k.clock.Now(), k.stop())
	s.everything(2 * time.Second)
	s.stamped("one")
	pool, class := &v1.NodePool{}, &awsv1.EC2NodeClass{}
	if err := errors.Join(s.client.Get(t.Context(), client.ObjectKey{Name: "pool"}, pool), s.client.Get(t.Context(), client.ObjectKey{Name: "default"}, class)); err != nil {
		t.Fatal(err)
	}
	pool.Spec.Template.Metadata.Labels["example.com/team"] = "b"
	class.Spec.Tags["team"] = "b"
	pool.Generation++
	class.Generation++
	if err := errors.Join(s.client.Update(t.Context(), pool), s.client.Update(t.Context(), class)); err != nil {
		t.Fatal(err)
	}
	s.everything(2 * time.Second)
	if c := v1.GetCondition(s.claim("one").Status.Conditions, v1.ConditionDrifted); c == nil || c.Reason != "NodePoolDrifted" {
		t.Errorf("after an edit of the NodePool the NodeClaim has %+v", c)
	}
	if a, c := s.claim("one").Annotations, s.classNow().Annotations; a[awsv1.AnnotationHash] == c[awsv1.AnnotationHash] || a[awsv1.AnnotationHashVersion] != c[awsv1.AnnotationHashVersion] {
		t.Errorf("after an edit of the EC2NodeClass the NodeClaim has %v, the class %v", a, c)
	}
}

// stamped fails the test unless a NodeClaim carries the hashes of its NodePool and
// EC2NodeClass.
func (s *stowage) stamped(name string) {
	s.Helper()
	a, pool, c := s.claim(name).Annotations, s.poolNow(), s.classNow().Annotations
	for _, key := range []string{v1.AnnotationNodePoolHash, v1.AnnotationNodePoolHashVersion} {
		if a[key] == "" || a[key] != pool.Annotations[key] {
			s.Errorf("%s: %s is %q, the NodePool's %q", name, key, a[key], pool.Annotations[key])
		}
	}
	for _, key := range []string{awsv1.AnnotationHash, awsv1.AnnotationHashVersion} {
		if a[key] == "" || a[key] != c[key] {
			s.Errorf("%s: %s is %q, the EC2NodeClass's %q", name, key, a[key], c[key])
		}
	}
}

// untouched hands over to Karpenter, and fails the test if that drifts, deletes,
// launches or terminates anything. It returns Karpenter, two hours later.
func untouched(t *testing.T, l *land, s *stowage) *karpenter {
	t.Helper()
	before, names := l.running(), []string{}
	for _, claim := range s.cluster.Snapshot().NodeClaims.All() {
		names = append(names, claim.Name)
	}
	profiles := l.ec2.InstanceProfiles()
	// Two hours later, since Karpenter looks for lost instance types only after one.
	k := startKarpenter(l, s.now.Add(2*time.Hour), s.stop())
	k.everything()
	for _, name := range names {
		if claim := k.claim(name); claim.DeletionTimestamp != nil || !claim.StatusConditions().Root().IsTrue() || meta.FindStatusCondition(conditions(claim), "Drifted") != nil {
			t.Errorf("%s: labels %v, annotations %v, conditions %+v", name, claim.Labels, claim.Annotations, claim.Status.Conditions)
		}
	}
	if after := l.running(); !slices.Equal(before, after) {
		t.Errorf("instances before: %v, after: %v", before, after)
	}
	if after := l.ec2.InstanceProfiles(); fmt.Sprint(profiles) != fmt.Sprint(after) {
		t.Errorf("instance profiles before: %v, after: %v", profiles, after)
	}
	return k
}

// TestGivingBack has Stowage buy nodes of its own, and Karpenter take over. That
// Karpenter acts at all shows in what it does to what is wrong.
func TestGivingBack(t *testing.T) {
	l := newLand(t)
	s := startStowage(l, time.Now(), l.wanted())
	s.everything(2 * time.Second)
	s.pend(
		pod("spot", "1", "1Gi", map[string]string{v1.LabelCapacityType: "spot"}),
		pod("here", "1", "1Gi", map[string]string{v1.LabelCapacityType: "on-demand", "topology.kubernetes.io/zone": region + "b"}),
		pod("large", "1", "1Gi", map[string]string{"example.com/size": "large", "topology.kubernetes.io/zone": region + "c"}),
	)
	s.everything(10 * time.Second)
	claims := s.cluster.Snapshot().NodeClaims.All()
	if len(claims) < 3 {
		t.Fatalf("%d NodeClaims for three pods that exclude each other", len(claims))
	}
	for _, claim := range claims {
		s.join(claim.Name)
	}
	s.everything(30 * time.Second)
	for _, claim := range claims {
		s.stamped(claim.Name)
	}
	k := untouched(t, l, s)

	// A machine that nobody has goes, and an edit of the NodePool drifts its nodes.
	lost := k.propose("lost")
	if _, err := k.cloud.Create(k.ctx, lost); err != nil {
		t.Fatal(err)
	}
	if err := k.client.Delete(k.ctx, lost); err != nil {
		t.Fatal(err)
	}
	pool := &karpv1.NodePool{}
	k.get("pool", pool)
	pool.Spec.Template.Labels["example.com/team"] = "b"
	if err := k.client.Update(k.ctx, pool); err != nil {
		t.Fatal(err)
	}
	k.everything()
	for _, claim := range claims {
		if drifted := meta.FindStatusCondition(conditions(k.claim(claim.Name)), "Drifted"); drifted == nil || drifted.Reason != "NodePoolDrifted" {
			t.Errorf("after an edit of the NodePool, %s has %+v", claim.Name, drifted)
		}
	}
	if n := len(l.running()); n != len(claims) {
		t.Errorf("%d instances run for %d NodeClaims", n, len(claims))
	}
}

// TestGivingBackInTheMiddle has Stowage stop while a machine has not joined, while
// another has joined and is kept closed, and while a third is not bought. Karpenter
// carries each on, and buys what was not.
func TestGivingBackInTheMiddle(t *testing.T) {
	l := newLand(t)
	s := startStowage(l, time.Now(), l.wanted())
	s.everything(2 * time.Second)
	zone := func(z string) map[string]string { return map[string]string{corev1.LabelTopologyZone: region + z} }
	s.pend(pod("joining", "1", "1Gi", zone("a")), pod("closed", "1", "1Gi", zone("b")))
	s.everything(10 * time.Second)
	s.life.Hold = func(time.Time, *v1.NodeClaim, *corev1.Node) (time.Duration, string) { return time.Minute, "for a test" }
	s.join("pool-2")
	s.everything(2 * time.Second)
	if c := v1.GetCondition(s.claim("pool-2").Status.Conditions, v1.ConditionRegistered); c == nil || c.Reason != "NodeHeld" {
		t.Fatalf("pool-2 is not held: %+v", c)
	}
	l.ec2.Deny("CreateFleet")
	s.pend(pod("unbought", "1", "1Gi", zone("c")))
	for range 15 { // its window opens and closes
		s.observe()
		if _, err := s.provision.Step(t.Context(), s.now); err != nil {
			t.Fatal(err)
		}
		s.now = s.now.Add(time.Second)
	}
	if _, err := s.life.Reconcile(t.Context(), s.now, "pool-3"); err == nil || s.claim("pool-3").Status.ProviderID != "" {
		t.Fatalf("pool-3 was bought: %+v, %v", s.claim("pool-3").Status, err)
	}
	l.ec2.Allow("CreateFleet")
	before := l.running()

	k := startKarpenter(l, s.now, s.stop())
	k.everything()
	for _, name := range []string{"pool-1", "pool-3"} {
		k.join(name)
	}
	k.everything()
	for _, name := range []string{"pool-1", "pool-2", "pool-3"} {
		if claim := k.claim(name); claim.DeletionTimestamp != nil || !claim.StatusConditions().Root().IsTrue() || meta.FindStatusCondition(conditions(claim), "Drifted") != nil {
			t.Errorf("%s: labels %v, annotations %v, conditions %+v", name, claim.Labels, claim.Annotations, claim.Status.Conditions)
		}
	}
	if after := l.running(); len(after) != 3 || slices.ContainsFunc(before, func(id string) bool { return !slices.Contains(after, id) }) {
		t.Errorf("instances before: %v, after: %v", before, after)
	}
}

// TestProfilesOfRunningNodesStay: an instance profile that no EC2NodeClass names any
// more, since its role has changed, is not deleted by Karpenter while nodes that
// Stowage launched run under it, and is once they are gone.
func TestProfilesOfRunningNodesStay(t *testing.T) {
	l := newLand(t)
	s := startStowage(l, time.Now(), l.wanted())
	s.everything(2 * time.Second)
	s.pend(pod("one", "1", "1Gi", nil))
	s.everything(5 * time.Second)
	s.join("pool-1")
	s.everything(5 * time.Second)
	class := &awsv1.EC2NodeClass{}
	if err := s.client.Get(t.Context(), client.ObjectKey{Name: "default"}, class); err != nil {
		t.Fatal(err)
	}
	old := class.Status.InstanceProfile
	class.Spec.Role = otherRole
	class.Generation++
	if err := s.client.Update(t.Context(), class); err != nil {
		t.Fatal(err)
	}
	s.everything(5 * time.Second)
	k := startKarpenter(l, s.now, s.stop())
	k.everything()
	if _, ok := l.ec2.InstanceProfiles()[old]; !ok {
		t.Errorf("instance profile %s is gone under a node that runs: %v", old, l.ec2.InstanceProfiles())
	}
	claim := k.claim("pool-1")
	claim.Finalizers = nil
	if err := errors.Join(k.client.Update(k.ctx, claim), k.client.Delete(k.ctx, claim)); err != nil {
		t.Fatal(err)
	}
	k.everything()
	if _, ok := l.ec2.InstanceProfiles()[old]; ok {
		t.Errorf("instance profile %s stays though nothing runs under it", old)
	}
}
