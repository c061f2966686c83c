package e2e

import (
	"errors"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestForeignLease: while another provisioner holds the Lease in another
// namespace, Stowage does not act, and says so, at its start and while it leads;
// it acts when the other one's Lease has run out or is gone.
func TestForeignLease(t *testing.T) {
	const reason = `Lease karpenter/karpenter-leader-election is held by \"karpenter-abc\"`
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "karpenter"}}
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: "karpenter-leader-election"}}
	hold(lease)
	for _, o := range []client.Object{namespace, lease} {
		if err := here.Client.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	from := len(logged())
	start(t)
	s := newScene(t, "lease", class{})
	t.Cleanup(func() { s.must(errors.Join(s.delete(lease), s.delete(namespace))) })
	s.pool(pool{Types: "m5.large"})
	s.deploy(pods{Name: "web", Count: 1})
	expectLog(t, from, "not acting: another provisioner is alive")
	expectLog(t, from, reason)
	expectNoDeed(s, 0)

	// It was renewed for the last time so long ago that it has run out.
	from = len(logged())
	*lease.Spec.LeaseDurationSeconds = 1
	s.must(here.Client.Update(s.ctx(), lease))
	s.running("web", 1)
	expectLog(t, from, "acting again")

	from = len(logged())
	hold(lease)
	s.must(here.Client.Update(s.ctx(), lease))
	expectLog(t, from, reason)
	s.deploy(pods{Name: "more", Count: 1})
	expectNoDeed(s, 1)
	s.must(s.delete(lease))
	s.running("more", 1)
}

// hold makes a Lease one that is held for an hour from now on.
func hold(lease *coordinationv1.Lease) {
	holder, seconds := "karpenter-abc", int32(3600)
	lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds = &holder, &seconds
	lease.Spec.RenewTime = &metav1.MicroTime{Time: time.Now()}
}

// expectNoDeed waits until kube-scheduler has given up on a pod, which is all that
// Stowage waits for as a rule, and a while longer; then nothing may have been
// bought beyond the given number, and no object touched.
func expectNoDeed(s *scene, bought int) {
	s.Helper()
	eventually(s.T, "a pod is unschedulable", func() error {
		for _, p := range s.pods("") {
			for _, c := range p.Status.Conditions {
				if c.Type == corev1.PodScheduled && c.Reason == corev1.PodReasonUnschedulable {
					return nil
				}
			}
		}
		return errors.New("none is")
	})
	time.Sleep(2 * time.Second) // several times the batch window
	if n := len(s.instances()); n != bought {
		s.Errorf("%d instances were bought, want %d", n, bought)
	}
	if n := len(s.claims("*")); n != bought {
		s.Errorf("there are %d NodeClaims, want %d", n, bought)
	}
	if c := s.nodeClass(); bought == 0 && (len(c.Finalizers) > 0 || len(c.Status.Conditions) > 0) {
		s.Errorf("the EC2NodeClass was written to: finalizers %v, conditions %v", c.Finalizers, c.Status.Conditions)
	}
}
