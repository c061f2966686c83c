package problem

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

// AddRuntimeClass does to the spec of a new pod what the API server's admission plugin
// RuntimeClass does: the overhead, node selector and tolerations of its class become the pod's. The class
// is nil if there is none of the pod's. It returns why the pod would be refused, or "", and
// leaves lists and maps of the spec as they are: others may share them.
func AddRuntimeClass(spec *corev1.PodSpec, class *nodev1.RuntimeClass) (refused string) {
	switch {
	case spec.RuntimeClassName == nil && len(spec.Overhead) > 0:
		return "spec.overhead: is for a RuntimeClass to set, and the pod has none"
	case spec.RuntimeClassName == nil:
		return ""
	case class == nil:
		return fmt.Sprintf("spec.runtimeClassName: there is no RuntimeClass %q", *spec.RuntimeClassName)
	}
	var overhead corev1.ResourceList
	if class.Overhead != nil {
		overhead = class.Overhead.PodFixed
	}
	if len(spec.Overhead) > 0 && !equality.Semantic.DeepEqual(spec.Overhead, overhead) {
		return fmt.Sprintf("spec.overhead: is not that of RuntimeClass %s", class.Name)
	}
	spec.Overhead = overhead
	if class.Scheduling == nil {
		return ""
	}
	selector := maps.Clone(class.Scheduling.NodeSelector)
	for _, key := range slices.Sorted(maps.Keys(spec.NodeSelector)) {
		if value, ok := selector[key]; ok && value != spec.NodeSelector[key] {
			return fmt.Sprintf("spec.nodeSelector[%s]: RuntimeClass %s wants %q", key, class.Name, value)
		}
	}
	if selector != nil {
		maps.Copy(selector, spec.NodeSelector)
		spec.NodeSelector = selector
	}
	spec.Tolerations = slices.Concat(spec.Tolerations, class.Scheduling.Tolerations)
	return ""
}
