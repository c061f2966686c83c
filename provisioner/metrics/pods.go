package metrics

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// podFamilies are what is shown of pods.
type podFamilies struct {
	state                                  family
	unbound, unstarted                     family // since they were created
	placedUnbound, placedUnstarted, waited family // since a moment that the Observer remembers
}

func newPodFamilies() podFamilies {
	return podFamilies{
		state: newFamily("karpenter_pods_state", "1 for each pod; the labels say where it is and how it stands.",
			"name", "namespace", "owner", "node", "scheduled", "nodepool", "zone", "arch", "capacity_type", "instance_type", "phase", "ready", "managed"),
		unbound: newFamily("karpenter_pods_unbound_time_seconds", "Age of a pod that has no node.",
			"name", "namespace", "dynamic_resources"),
		unstarted: newFamily("karpenter_pods_unstarted_time_seconds", "Age of a pod that was not ready yet.",
			"name", "namespace"),
		placedUnbound: newFamily("karpenter_pods_provisioning_unbound_time_seconds", "How long ago a place was decided for a pod that has no node.",
			"name", "namespace", "dynamic_resources"),
		placedUnstarted: newFamily("karpenter_pods_provisioning_unstarted_time_seconds", "How long ago a place was decided for a pod that was not ready yet.",
			"name", "namespace"),
		waited: newFamily("karpenter_pods_provisioning_scheduling_undecided_time_seconds", "How long a pod has waited to be looked at for the first time.",
			"name", "namespace"),
	}
}

func (f *podFamilies) all() []family {
	return []family{f.state, f.unbound, f.unstarted, f.placedUnbound, f.placedUnstarted, f.waited}
}

// collect shows every pod where it is, and how long those wait that do not run.
func (f *podFamilies) collect(s *scrape, v *view) {
	for _, p := range v.Pods.All() {
		s.add(f.state, 1, f.state.labels.with(podState(v, p)...))
		if !lifecycle.Terminal(p) && !started(p) {
			f.collectWaiting(s, v, p)
		}
	}
}

// collectWaiting shows what a pod waits for that does not run. One that was ready
// before, and is not now, waits for nothing of ours: the Observer has forgotten it.
func (f *podFamilies) collectWaiting(s *scrape, v *view, p *corev1.Pod) {
	j, known := v.journeys[p.UID]
	if p.Status.Phase != corev1.PodPending && !known {
		return
	}
	labels := f.unstarted.labels.with(p.Name, p.Namespace)
	s.add(f.unstarted, v.age(p.CreationTimestamp.Time), labels)
	if !j.placed.IsZero() {
		s.add(f.placedUnstarted, v.age(j.placed), labels)
	}
	if p.Spec.NodeName != "" {
		return
	}
	if !j.seen.IsZero() && j.decided.IsZero() {
		s.add(f.waited, v.age(j.seen), labels)
	}
	labels = f.unbound.labels.with(p.Name, p.Namespace, dynamic(p))
	s.add(f.unbound, v.age(p.CreationTimestamp.Time), labels)
	if !j.placed.IsZero() {
		s.add(f.placedUnbound, v.age(j.placed), labels)
	}
}

// podState returns the values of the labels of karpenter_pods_state.
func podState(v *view, p *corev1.Pod) []string {
	var on map[string]string
	if node, ok := v.Nodes.Get(p.Spec.NodeName); ok {
		on = node.Labels
	}
	return []string{
		p.Name, p.Namespace, owner(p), p.Spec.NodeName, yesNo(p.Spec.NodeName != ""),
		on[v1.LabelNodePool], on[corev1.LabelTopologyZone], on[corev1.LabelArchStable], on[v1.LabelCapacityType], on[corev1.LabelInstanceTypeStable],
		string(p.Status.Phase), yesNo(podCondition(p, corev1.PodReady) != nil), yesNo(on[v1.LabelNodePool] != ""),
	}
}

// owner is the first owner's path in the API, in Karpenter's spelling: the plural
// is the kind with an s.
func owner(p *corev1.Pod) string {
	if len(p.OwnerReferences) == 0 {
		return ""
	}
	o := &p.OwnerReferences[0]
	return fmt.Sprintf("/apis/%s/namespaces/%s/%ss/%s", o.APIVersion, p.Namespace, strings.ToLower(o.Kind), o.Name)
}

// podCondition returns a condition of a pod if it is True, else nil.
func podCondition(p *corev1.Pod, name corev1.PodConditionType) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if c := &p.Status.Conditions[i]; c.Type == name && c.Status == corev1.ConditionTrue {
			return c
		}
	}
	return nil
}

// started reports whether a pod runs and is ready.
func started(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodRunning && podCondition(p, corev1.PodReady) != nil
}

// dynamic reports whether a pod asks for resources by claims.
func dynamic(p *corev1.Pod) string { return yesNo(len(p.Spec.ResourceClaims) > 0) }
