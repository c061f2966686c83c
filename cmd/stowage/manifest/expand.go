package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stowage-sh/stowage/provisioner/problem"
)

// Expand adds the pods that the controllers of workloads would make: all of a
// workload's replicas when none of its pods is in the set, and otherwise none, with the claims
// that they have. It
// gives every pod the priority of its PriorityClass and what its RuntimeClass adds,
// takes out those that no API server would take in, and marks pods without a node
// as those that kube-scheduler found none for.
func (s *Set) Expand() error {
	pods := list[*corev1.Pod](s)
	workloads := s.workloads()
	for _, w := range workloads {
		if slices.ContainsFunc(pods, w.owns) {
			continue
		}
		if err := s.addPods(w); err != nil {
			return err
		}
	}
	s.completeClaims()
	return s.completePods()
}

// maxReplicas is more than the largest clusters hold.
const maxReplicas = 200_000

// addPods adds the workload's pods: web-0, web-1 and so on. If another workload
// of that name took these names, the kind comes between: web-deployment-0.
func (s *Set) addPods(w *workload) error {
	if w.replicas > maxReplicas {
		return fmt.Errorf("%s: %s: %d pods at once, a plan takes no more than %d", s.objects[w.key].at, w.key, w.replicas, maxReplicas)
	}
	prefix := w.key.Name + "-"
	if w.key.Kind != "StatefulSet" && s.taken(w, prefix) {
		prefix += strings.ToLower(w.key.Kind) + "-"
	}
	spec := w.template.Spec.DeepCopy()
	problem.SetDefaults(spec)
	for i := range int(w.replicas) {
		number := w.start + i
		pod := &corev1.Pod{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
			ObjectMeta: metav1.ObjectMeta{
				Name: prefix + strconv.Itoa(number), Namespace: w.key.Namespace,
				Labels: maps.Clone(w.template.Labels), Annotations: w.template.Annotations,
				OwnerReferences: []metav1.OwnerReference{{
					APIVersion: w.apiVersion, Kind: w.key.Kind, Name: w.key.Name, UID: w.object.GetUID(), Controller: new(true),
				}},
			},
			Spec: *spec, // the lists are shared: nobody modifies objects of a Set
		}
		if pod.Labels == nil {
			pod.Labels = map[string]string{}
		}
		if w.each != nil {
			w.each(pod, number)
		}
		if err := s.add(Key{"Pod", pod.Namespace, pod.Name}, entry{pod, s.objects[w.key].at}); err != nil {
			return fmt.Errorf("expanding %s: %w", w.key, err)
		}
		if err := s.addClaims(pod, w); err != nil {
			return err
		}
	}
	return nil
}

// taken reports whether a pod of the workload would have the name of another.
func (s *Set) taken(w *workload, prefix string) bool {
	for i := range int(w.replicas) {
		if s.Has("Pod", w.key.Namespace, prefix+strconv.Itoa(w.start+i)) {
			return true
		}
	}
	return false
}

// builtinPriorities are the classes that every cluster has.
var builtinPriorities = map[string]int32{"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}

// completePods fills in what admission and kube-scheduler would.
func (s *Set) completePods() error {
	classes := list[*schedulingv1.PriorityClass](s)
	for _, key := range s.keys() {
		e := s.objects[key]
		p, ok := e.object.(*corev1.Pod)
		if !ok {
			continue
		}
		if p.Spec.Priority == nil {
			priority, ok := priorityOf(p.Spec.PriorityClassName, classes)
			if !ok {
				return fmt.Errorf("%s: %s: spec.priorityClassName: there is no PriorityClass %q among the manifests", e.at, key, p.Spec.PriorityClassName)
			}
			p.Spec.Priority = &priority
		}
		if why := s.admit(p); why != "" {
			delete(s.objects, key)
			s.refusals = append(s.refusals, Refusal{p, problem.Reason{Code: NotAdmitted, Message: why}})
			continue
		}
		if p.Spec.NodeName == "" && len(p.Spec.SchedulingGates) == 0 {
			setUnschedulable(p)
		}
	}
	return nil
}

// priorityOf returns the value of a PriorityClass. No name is that of the class
// which is the default of the cluster, or 0 without one.
func priorityOf(name string, classes []*schedulingv1.PriorityClass) (int32, bool) {
	if value, ok := builtinPriorities[name]; ok {
		return value, true
	}
	for _, c := range classes {
		if c.Name == name || name == "" && c.GlobalDefault {
			return c.Value, true
		}
	}
	return 0, name == ""
}

// setUnschedulable says of a pod what kube-scheduler would in a cluster without
// room for it.
func setUnschedulable(p *corev1.Pod) {
	p.Status.Conditions = slices.DeleteFunc(slices.Clone(p.Status.Conditions), func(c corev1.PodCondition) bool { return c.Type == corev1.PodScheduled })
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable})
}
