package manifest

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// podSpec checks what of a pod decides where it can go, by the rules of the API
// server's validation of pods. What it does not look at (images, probes, names of
// volumes) has no bearing on a plan.
func (c *checker) podSpec(at *field.Path, s *corev1.PodSpec) {
	if len(s.Containers) == 0 {
		c.required(at.Child("containers"), "")
	}
	for i := range s.InitContainers {
		at := at.Child("initContainers").Index(i)
		c.resources(at.Child("resources"), &s.InitContainers[i].Resources)
		if p := s.InitContainers[i].RestartPolicy; p != nil {
			oneOf(c, at.Child("restartPolicy"), *p, corev1.ContainerRestartPolicyAlways, corev1.ContainerRestartPolicyOnFailure, corev1.ContainerRestartPolicyNever)
		}
	}
	for i := range s.Containers {
		c.resources(at.Child("containers").Index(i).Child("resources"), &s.Containers[i].Resources)
	}
	if s.Resources != nil {
		c.resources(at.Child("resources"), s.Resources)
	}
	c.quantities(at.Child("overhead"), s.Overhead)
	for _, key := range slices.Sorted(maps.Keys(s.NodeSelector)) {
		c.label(at.Child("nodeSelector").Key(key), key, s.NodeSelector[key])
	}
	for i := range s.Tolerations {
		c.toleration(at.Child("tolerations").Index(i), &s.Tolerations[i])
	}
	for i := range s.TopologySpreadConstraints {
		c.spread(at.Child("topologySpreadConstraints").Index(i), &s.TopologySpreadConstraints[i])
	}
	if s.Affinity != nil {
		c.affinity(at.Child("affinity"), s.Affinity)
	}
}

// label checks an entry of a node selector. A node can never carry a label that
// is not well-formed, so the pod would wait for ever without anybody saying why.
func (c *checker) label(at *field.Path, key, value string) {
	c.problems = append(c.problems, metavalidation.ValidateLabelName(key, at)...)
	for _, why := range validation.IsValidLabelValue(value) {
		c.invalid(at, value, why)
	}
}

// resources checks limits and requests. Devices can be neither shared nor
// overcommitted, so their request is whole and equal to the limit.
func (c *checker) resources(at *field.Path, r *corev1.ResourceRequirements) {
	c.quantities(at.Child("limits"), r.Limits)
	c.quantities(at.Child("requests"), r.Requests)
	for _, name := range sortedNames(r.Requests) {
		request := r.Requests[name]
		at := at.Child("requests").Key(string(name))
		limit, limited := r.Limits[name]
		switch {
		case limited && request.Cmp(limit) > 0:
			c.invalid(at, request.String(), "must not be more than the limit of "+limit.String())
		case extended(name) && request.MilliValue()%1000 != 0:
			c.invalid(at, request.String(), "must be a whole number")
		case extended(name) && limited && request.Cmp(limit) != 0:
			c.invalid(at, request.String(), "must be equal to the limit of "+limit.String())
		}
	}
}

// extended reports whether a resource is a device, of which there are no parts.
func extended(name corev1.ResourceName) bool {
	domain, _, ok := strings.Cut(string(name), "/")
	return ok && domain != "kubernetes.io"
}

// toleration checks one. Operators Lt and Gt are behind a feature gate of the API
// server: they pass here, and tolerate nothing until they are understood.
func (c *checker) toleration(at *field.Path, t *corev1.Toleration) {
	if t.Effect != "" {
		oneOf(c, at.Child("effect"), t.Effect, effects...)
	}
	oneOf(c, at.Child("operator"), t.Operator, "", corev1.TolerationOpEqual, corev1.TolerationOpExists, corev1.TolerationOpLt, corev1.TolerationOpGt)
	switch {
	case t.Operator == corev1.TolerationOpExists && t.Value != "":
		c.invalid(at.Child("value"), t.Value, "must be empty with operator Exists")
	case t.Key == "" && t.Operator != corev1.TolerationOpExists:
		c.required(at.Child("key"), "only operator Exists goes without")
	}
}

// spread checks a topology spread constraint, also one that only prefers: a typing
// error is one in either.
func (c *checker) spread(at *field.Path, s *corev1.TopologySpreadConstraint) {
	if s.MaxSkew <= 0 {
		c.invalid(at.Child("maxSkew"), s.MaxSkew, "must be more than 0")
	}
	c.topologyKey(at.Child("topologyKey"), s.TopologyKey)
	oneOf(c, at.Child("whenUnsatisfiable"), s.WhenUnsatisfiable, corev1.DoNotSchedule, corev1.ScheduleAnyway)
	if s.MinDomains != nil && *s.MinDomains <= 0 {
		c.invalid(at.Child("minDomains"), *s.MinDomains, "must be more than 0")
	}
	if s.MinDomains != nil && s.WhenUnsatisfiable != corev1.DoNotSchedule {
		c.invalid(at.Child("minDomains"), *s.MinDomains, "is for whenUnsatisfiable DoNotSchedule only")
	}
	c.inclusion(at.Child("nodeAffinityPolicy"), s.NodeAffinityPolicy)
	c.inclusion(at.Child("nodeTaintsPolicy"), s.NodeTaintsPolicy)
	c.selector(at.Child("labelSelector"), s.LabelSelector)
}

// inclusion checks a policy of a spread; unset is the API server's default.
func (c *checker) inclusion(at *field.Path, p *corev1.NodeInclusionPolicy) {
	if p != nil {
		oneOf(c, at, *p, corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore)
	}
}

// topologyKey checks the label whose values are the domains of a rule.
func (c *checker) topologyKey(at *field.Path, key string) {
	if key == "" {
		c.required(at, "")
		return
	}
	c.problems = append(c.problems, metavalidation.ValidateLabelName(key, at)...)
}

// affinity checks the affinities of all three kinds, the preferred terms as well
// as the required ones.
func (c *checker) affinity(at *field.Path, a *corev1.Affinity) {
	const required, preferred = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"
	if n := a.NodeAffinity; n != nil {
		at := at.Child("nodeAffinity")
		if r := n.RequiredDuringSchedulingIgnoredDuringExecution; r != nil {
			at := at.Child(required, "nodeSelectorTerms")
			if len(r.NodeSelectorTerms) == 0 {
				c.required(at, "")
			}
			for i := range r.NodeSelectorTerms {
				c.nodeTerm(at.Index(i), &r.NodeSelectorTerms[i])
			}
		}
		for i := range n.PreferredDuringSchedulingIgnoredDuringExecution {
			c.nodeTerm(at.Child(preferred).Index(i).Child("preference"), &n.PreferredDuringSchedulingIgnoredDuringExecution[i].Preference)
		}
	}
	terms := func(at *field.Path, hard []corev1.PodAffinityTerm, soft []corev1.WeightedPodAffinityTerm) {
		for i := range hard {
			c.podTerm(at.Child(required).Index(i), &hard[i])
		}
		for i := range soft {
			c.podTerm(at.Child(preferred).Index(i).Child("podAffinityTerm"), &soft[i].PodAffinityTerm)
		}
	}
	if p := a.PodAffinity; p != nil {
		terms(at.Child("podAffinity"), p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if p := a.PodAntiAffinity; p != nil {
		terms(at.Child("podAntiAffinity"), p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution)
	}
}

// podTerm checks which pods an affinity is about. Both selectors may be absent,
// which means no pod, and the pod's own namespace.
func (c *checker) podTerm(at *field.Path, t *corev1.PodAffinityTerm) {
	c.topologyKey(at.Child("topologyKey"), t.TopologyKey)
	c.selector(at.Child("labelSelector"), t.LabelSelector)
	c.selector(at.Child("namespaceSelector"), t.NamespaceSelector)
}

// nodeTerm checks one of the alternatives of a node affinity. An empty one passes:
// it matches no node.
func (c *checker) nodeTerm(at *field.Path, t *corev1.NodeSelectorTerm) {
	for i := range t.MatchExpressions {
		at := at.Child("matchExpressions").Index(i)
		c.problems = append(c.problems, metavalidation.ValidateLabelName(t.MatchExpressions[i].Key, at.Child("key"))...)
		c.nodeRequirement(at, &t.MatchExpressions[i])
	}
	for i := range t.MatchFields {
		c.nodeRequirement(at.Child("matchFields").Index(i), &t.MatchFields[i])
	}
}

// nodeRequirement checks operator and values. kube-scheduler skips a term that it
// cannot read, so an operator that is misspelled must not get so far.
func (c *checker) nodeRequirement(at *field.Path, r *corev1.NodeSelectorRequirement) {
	values := at.Child("values")
	switch r.Operator {
	case corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn:
		if len(r.Values) == 0 {
			c.required(values, "operator "+string(r.Operator)+" needs a value")
		}
	case corev1.NodeSelectorOpExists, corev1.NodeSelectorOpDoesNotExist:
		if len(r.Values) > 0 {
			c.invalid(values, r.Values, "operator "+string(r.Operator)+" has none")
		}
	case corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt:
		if len(r.Values) != 1 {
			c.required(values, "operator "+string(r.Operator)+" needs a single value")
		} else if _, err := strconv.ParseInt(r.Values[0], 10, 64); err != nil {
			c.invalid(values.Index(0), r.Values[0], "must be an integer")
		}
	default:
		c.problems = append(c.problems, field.NotSupported(at.Child("operator"), r.Operator, []corev1.NodeSelectorOperator{
			corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn, corev1.NodeSelectorOpExists, corev1.NodeSelectorOpDoesNotExist,
			corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt,
		}))
	}
}
