package manifest

import (
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	"github.com/stowage-sh/stowage/provisioner/problem"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/provisioner/v1beta1"
)

// setDefaults fills what is unset, as the API server does. Pod templates stay as
// they are: the defaults of pods come when pods are made of them.
func setDefaults(o client.Object) {
	switch o := o.(type) {
	case *v1.NodePool:
		o.SetDefaults()
	case *v1.NodeClaim:
		o.SetDefaults()
	case *awsv1.EC2NodeClass:
		o.SetDefaults()
	case *v1beta1.CapacityBuffer:
		o.SetDefaults()
	case *corev1.Pod:
		problem.SetDefaults(&o.Spec)
	}
}

// check lists what an API server would refuse, as far as it bears on a plan. A
// plan for objects that no cluster takes would be an answer to nobody's question.
func check(o client.Object) field.ErrorList {
	c := &checker{}
	c.meta(o)
	spec := field.NewPath("spec")
	switch o := o.(type) {
	case *corev1.Pod:
		c.podSpec(spec, &o.Spec)
	case *corev1.Node:
		c.quantities(field.NewPath("status", "allocatable"), o.Status.Allocatable)
		c.taints(spec.Child("taints"), o.Spec.Taints)
	case *corev1.PodTemplate:
		c.podSpec(field.NewPath("template", "spec"), &o.Template.Spec)
	case *appsv1.Deployment:
		c.replicas(spec.Child("replicas"), o.Spec.Replicas)
		c.template(spec, o.Spec.Selector, &o.Spec.Template)
	case *appsv1.StatefulSet:
		c.replicas(spec.Child("replicas"), o.Spec.Replicas)
		c.template(spec, o.Spec.Selector, &o.Spec.Template)
	case *appsv1.ReplicaSet:
		c.replicas(spec.Child("replicas"), o.Spec.Replicas)
		c.template(spec, o.Spec.Selector, &o.Spec.Template)
	case *appsv1.DaemonSet:
		c.template(spec, o.Spec.Selector, &o.Spec.Template)
	case *batchv1.Job:
		c.replicas(spec.Child("parallelism"), o.Spec.Parallelism)
		c.replicas(spec.Child("completions"), o.Spec.Completions)
		c.podSpec(spec.Child("template", "spec"), &o.Spec.Template.Spec)
	case *policyv1.PodDisruptionBudget:
		c.selector(spec.Child("selector"), o.Spec.Selector)
	case *nodev1.RuntimeClass:
		c.runtimeClass(o)
	default:
		c.ours(o)
	}
	return c.problems
}

// A checker collects problems.
type checker struct{ problems field.ErrorList }

// invalid notes a value that cannot be.
func (c *checker) invalid(at *field.Path, value any, why string) {
	c.problems = append(c.problems, field.Invalid(at, value, why))
}

// required notes a value that is missing; why may be empty.
func (c *checker) required(at *field.Path, why string) {
	c.problems = append(c.problems, field.Required(at, why))
}

// meta checks what every object has: names, since pods and nodes are found by
// them, and labels, since selectors look at them.
func (c *checker) meta(o client.Object) {
	at := field.NewPath("metadata")
	switch {
	case o.GetName() != "":
		for _, why := range validation.NameIsDNSSubdomain(o.GetName(), false) {
			c.invalid(at.Child("name"), o.GetName(), why)
		}
	case o.GetGenerateName() != "":
		c.required(at.Child("name"), "generateName is for an API server to fill in")
	default:
		c.required(at.Child("name"), "")
	}
	if o.GetNamespace() != "" {
		for _, why := range validation.ValidateNamespaceName(o.GetNamespace(), false) {
			c.invalid(at.Child("namespace"), o.GetNamespace(), why)
		}
	}
	c.problems = append(c.problems, metavalidation.ValidateLabels(o.GetLabels(), at.Child("labels"))...)
}

// replicas checks a number of pods; nil is the API server's default.
func (c *checker) replicas(at *field.Path, n *int32) {
	if n != nil && *n < 0 {
		c.invalid(at, *n, "must not be negative")
	}
}

// template checks a pod template, and that the selector finds its pods.
func (c *checker) template(spec *field.Path, s *metav1.LabelSelector, t *corev1.PodTemplateSpec) {
	at := spec.Child("template")
	c.problems = append(c.problems, metavalidation.ValidateLabels(t.Labels, at.Child("metadata", "labels"))...)
	if s == nil {
		c.required(spec.Child("selector"), "")
	} else if before := len(c.problems); c.selector(spec.Child("selector"), s) && before == len(c.problems) {
		if parsed, err := metav1.LabelSelectorAsSelector(s); err == nil && !parsed.Matches(labels.Set(t.Labels)) {
			c.invalid(at.Child("metadata", "labels"), labels.FormatLabels(t.Labels), "the selector does not match them")
		}
	}
	c.podSpec(at.Child("spec"), &t.Spec)
}

// selector checks a label selector and reports whether it is sound.
func (c *checker) selector(at *field.Path, s *metav1.LabelSelector) bool {
	problems := metavalidation.ValidateLabelSelector(s, metavalidation.LabelSelectorValidationOptions{}, at)
	c.problems = append(c.problems, problems...)
	return len(problems) == 0
}

// quantities checks each resource of a list, in the order of their names.
func (c *checker) quantities(at *field.Path, list corev1.ResourceList) {
	for _, name := range sortedNames(list) {
		if q := list[name]; q.Sign() < 0 {
			c.invalid(at.Key(string(name)), q.String(), "must not be negative")
		}
	}
}

// sortedNames makes the order of errors that of the names, not of the map.
func sortedNames(list corev1.ResourceList) []corev1.ResourceName {
	names := make([]corev1.ResourceName, 0, len(list))
	for name := range list {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

var effects = []corev1.TaintEffect{corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute}

// taints checks those of a Node or NodeClaim; NodePool.Validate has its own.
func (c *checker) taints(at *field.Path, taints []corev1.Taint) {
	for i, t := range taints {
		if t.Key == "" {
			c.required(at.Index(i).Child("key"), "")
		}
		oneOf(c, at.Index(i).Child("effect"), t.Effect, effects...)
	}
}

// oneOf checks that a value is among those that there are.
func oneOf[T ~string](c *checker, at *field.Path, value T, values ...T) {
	if !slices.Contains(values, value) {
		c.problems = append(c.problems, field.NotSupported(at, value, slices.DeleteFunc(slices.Clone(values), func(v T) bool { return v == "" })))
	}
}

// inGroup reports whether a label's domain is a group's.
func inGroup(key, group string) bool {
	domain, _, _ := strings.Cut(key, "/")
	return domain == group || strings.HasSuffix(domain, "."+group)
}
