package manifest

import (
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/equality"
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
	if p.Spec.RuntimeClassName == nil {
		if len(p.Spec.Overhead) > 0 {
			return "spec.overhead: is for a RuntimeClass to set, and the pod has none"
		}
		return ""
	}
	class, ok := s.objects[Key{Kind: "RuntimeClass", Name: *p.Spec.RuntimeClassName}].object.(*nodev1.RuntimeClass)
	if !ok {
		return fmt.Sprintf("spec.runtimeClassName: there is no RuntimeClass %q", *p.Spec.RuntimeClassName)
	}
	var overhead corev1.ResourceList
	if class.Overhead != nil {
		overhead = class.Overhead.PodFixed
	}
	if len(p.Spec.Overhead) > 0 && !equality.Semantic.DeepEqual(p.Spec.Overhead, overhead) {
		return fmt.Sprintf("spec.overhead: is not that of RuntimeClass %s", class.Name)
	}
	p.Spec.Overhead = overhead
	if class.Scheduling == nil {
		return ""
	}
	// The lists of a pod are shared with others of its workload: copies are changed.
	selector := maps.Clone(class.Scheduling.NodeSelector)
	for _, key := range slices.Sorted(maps.Keys(p.Spec.NodeSelector)) {
		if value, ok := selector[key]; ok && value != p.Spec.NodeSelector[key] {
			return fmt.Sprintf("spec.nodeSelector[%s]: RuntimeClass %s wants %q", key, class.Name, value)
		}
	}
	if selector != nil {
		maps.Copy(selector, p.Spec.NodeSelector)
		p.Spec.NodeSelector = selector
	}
	p.Spec.Tolerations = slices.Concat(p.Spec.Tolerations, class.Scheduling.Tolerations)
	return ""
}

// noteDaemons says what is not counted: a decision looks at the templates of
// DaemonSets, which RuntimeClasses add nothing to.
func (s *Set) noteDaemons() {
	for _, ds := range list[*appsv1.DaemonSet](s) {
		if name := ds.Spec.Template.Spec.RuntimeClassName; name != nil {
			key := Key{"DaemonSet", ds.Namespace, ds.Name}
			count(s.notes, "spec.template.spec.runtimeClassName: pods of DaemonSets are planned without what RuntimeClass "+*name+" adds to them",
				fmt.Sprintf("%s: %s", s.objects[key].at, key))
		}
	}
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
