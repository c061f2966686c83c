package manifest

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/stowage-sh/stowage/provisioner/problem"
)

// A Refusal is a pod that no API server would take in, and why.
type Refusal struct {
	Pod    *corev1.Pod
	Reason problem.Reason
}

// NotAdmitted is the code of every Refusal; the message names the pod's field.
const NotAdmitted = "NotAdmitted"

// Refusals returns the pods that Expand has taken out, by namespace and name. They
// are no error: a cluster would go on without them, and so does a plan.
func (s *Set) Refusals() []Refusal { return s.refusals }

// admit does for a new pod what the API server's admission plugin RuntimeClass
// does: the overhead, node selector and tolerations of its RuntimeClass become the
// pod's. It returns why the pod would be refused, or "". A pod that was on a
// server, or has a node, has been through this.
func (s *Set) admit(p *corev1.Pod) string {
	if !byHand(p) || p.Spec.NodeName != "" {
		return ""
	}
	var class *nodev1.RuntimeClass
	if name := p.Spec.RuntimeClassName; name != nil {
		class, _ = s.objects[Key{Kind: "RuntimeClass", Name: *name}].object.(*nodev1.RuntimeClass)
	}
	return problem.AddRuntimeClass(&p.Spec, class)
}

// runtimeClass checks what a RuntimeClass adds to pods.
func (c *checker) runtimeClass(o *nodev1.RuntimeClass) {
	if o.Overhead != nil {
		c.quantities(field.NewPath("overhead", "podFixed"), o.Overhead.PodFixed)
	}
	if o.Scheduling == nil {
		return
	}
	at := field.NewPath("scheduling")
	for _, key := range slices.Sorted(maps.Keys(o.Scheduling.NodeSelector)) {
		c.label(at.Child("nodeSelector").Key(key), key, o.Scheduling.NodeSelector[key])
	}
	for i := range o.Scheduling.Tolerations {
		c.toleration(at.Child("tolerations").Index(i), &o.Scheduling.Tolerations[i])
	}
}
