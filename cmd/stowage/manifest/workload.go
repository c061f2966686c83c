package manifest

import (
	"cmp"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A workload is what Deployments, StatefulSets, ReplicaSets and Jobs have in
// common.
type workload struct {
	key    Key
	object client.Object
	// apiVersion of the object, for its pods' owner references.
	apiVersion string

	replicas int32
	selector labels.Selector
	template *corev1.PodTemplateSpec
	// parents are the kinds of the controllers of its pods, beside its own.
	parents []string
	// each completes the pod of a number; nil if there is nothing to add.
	each func(pod *corev1.Pod, number int)
	// claims are the templates of those that each pod has of its own.
	claims []corev1.PersistentVolumeClaim
	// start is the first number, 0 as a rule.
	start int
}

// workloads lists them; StatefulSets first, whose pods' names are not ours to
// choose.
func (s *Set) workloads() []*workload {
	var all []*workload
	for _, key := range s.keys() {
		switch o := s.objects[key].object.(type) {
		case *appsv1.Deployment:
			w := newWorkload(key, o, o.Spec.Replicas, o.Spec.Selector, &o.Spec.Template)
			w.parents = []string{"ReplicaSet"}
			all = append(all, w)
		case *appsv1.StatefulSet:
			all = append(all, statefulSet(key, o))
		case *appsv1.ReplicaSet:
			if owner := metav1.GetControllerOf(o); owner == nil || !s.Has(owner.Kind, key.Namespace, owner.Name) {
				all = append(all, newWorkload(key, o, o.Spec.Replicas, o.Spec.Selector, &o.Spec.Template))
			}
		case *batchv1.Job:
			all = append(all, job(key, o))
		}
	}
	rank := map[string]int{"StatefulSet": 0, "Deployment": 1, "Job": 2, "ReplicaSet": 3}
	slices.SortStableFunc(all, func(a, b *workload) int { return cmp.Compare(rank[a.key.Kind], rank[b.key.Kind]) })
	return all
}

// newWorkload returns what all kinds have in common; nil replicas are one.
func newWorkload(key Key, o client.Object, replicas *int32, s *metav1.LabelSelector, template *corev1.PodTemplateSpec) *workload {
	return &workload{key: key, object: o, apiVersion: "apps/v1", replicas: orOne(replicas), selector: selectorOf(s), template: template}
}

func orOne(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

// selectorOf parses a workload's selector; nil matches nothing.
func selectorOf(s *metav1.LabelSelector) labels.Selector {
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return labels.Nothing() // check has refused it already
	}
	return selector
}

// statefulSet expands to pods with numbers that are part of what they are.
func statefulSet(key Key, o *appsv1.StatefulSet) *workload {
	w := newWorkload(key, o, o.Spec.Replicas, o.Spec.Selector, &o.Spec.Template)
	if o.Spec.Ordinals != nil {
		w.start = int(o.Spec.Ordinals.Start)
	}
	w.claims = o.Spec.VolumeClaimTemplates
	w.each = func(pod *corev1.Pod, number int) {
		pod.Labels[appsv1.StatefulSetPodNameLabel] = pod.Name
		pod.Labels[appsv1.PodIndexLabel] = strconv.Itoa(number)
		// Each pod has claims of its own, which decide where it can go.
		volumes := slices.Clone(pod.Spec.Volumes)
		for _, claim := range o.Spec.VolumeClaimTemplates {
			volumes = slices.DeleteFunc(volumes, func(v corev1.Volume) bool { return v.Name == claim.Name })
			volumes = append(volumes, corev1.Volume{Name: claim.Name, VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim.Name + "-" + pod.Name},
			}})
		}
		pod.Spec.Volumes = volumes
	}
	return w
}

// job expands to the pods that run at once: not more than are left to complete.
func job(key Key, o *batchv1.Job) *workload {
	w := newWorkload(key, o, o.Spec.Parallelism, nil, &o.Spec.Template)
	w.apiVersion = "batch/v1"
	w.selector = labels.SelectorFromSet(labels.Set{batchv1.JobNameLabel: key.Name})
	if o.Spec.Completions != nil {
		w.replicas = max(0, min(w.replicas, *o.Spec.Completions-o.Status.Succeeded))
	}
	if o.Spec.Suspend != nil && *o.Spec.Suspend || o.Status.CompletionTime != nil || finished(o) {
		w.replicas = 0
	}
	indexed := o.Spec.CompletionMode != nil && *o.Spec.CompletionMode == batchv1.IndexedCompletion
	w.each = func(pod *corev1.Pod, number int) {
		pod.Labels[batchv1.JobNameLabel] = key.Name
		pod.Labels["job-name"] = key.Name
		if indexed {
			pod.Labels[batchv1.JobCompletionIndexAnnotation] = strconv.Itoa(number)
		}
	}
	return w
}

// finished reports whether a Job has ended, well or not.
func finished(o *batchv1.Job) bool {
	return slices.ContainsFunc(o.Status.Conditions, func(c batchv1.JobCondition) bool {
		return (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue
	})
}

// owns reports whether a pod is one of the workload's: its selector finds it, and
// no stranger controls it.
func (w *workload) owns(p *corev1.Pod) bool {
	if p.Namespace != w.key.Namespace {
		return false
	}
	owner := metav1.GetControllerOf(p)
	if owner != nil && owner.Kind == w.key.Kind {
		return owner.Name == w.key.Name
	}
	return (owner == nil || slices.Contains(w.parents, owner.Kind)) && w.selector.Matches(labels.Set(p.Labels))
}
