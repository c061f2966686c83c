package v1

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Validate lists everything that makes the pool unusable, each with the path of
// its field; empty means that the pool is sound. Much of it the API server has
// checked already, but not for objects that come from files, and not what a CRD
// cannot say: taints named twice, values that no node can have.
//
// known adds to CapacityTypes the labels whose possible values a cloud knows; nil
// is none. Budgets are read, and judged, where they are evaluated.
func (p *NodePool) Validate(known map[string][]string) field.ErrorList {
	v := validator{known: known}
	if _, err := p.ConsolidationPayback(); err != nil {
		at := field.NewPath("metadata", "annotations").Key(AnnotationConsolidationPayback)
		v.invalid(at, p.Annotations[AnnotationConsolidationPayback], err.Error())
	}
	wrong := p.CostAnnotations()
	for _, annotation := range slices.Sorted(maps.Keys(wrong)) {
		v.invalid(field.NewPath("metadata", "annotations").Key(annotation), p.Annotations[annotation], wrong[annotation].Error())
	}
	spec := field.NewPath("spec")
	template := spec.Child("template")
	v.labels(template.Child("metadata", "labels"), p.Spec.Template.Metadata.Labels)
	v.template(template.Child("spec"), &p.Spec.Template.Spec)
	v.duration(spec.Child("disruption", "consolidateAfter"), p.Spec.Disruption.ConsolidateAfter)
	v.limits(spec, p)
	if w := p.Spec.Weight; w != nil && (*w < 1 || *w > 100) {
		v.invalid(spec.Child("weight"), *w, "must be between 1 and 100")
	}
	return v.problems
}

// ValidateRequirement lists what is wrong with a requirement on nodes in general:
// it may also be on the name of their NodePool.
func ValidateRequirement(at *field.Path, r *Requirement) field.ErrorList {
	v := validator{anyPool: true}
	v.requirement(at, r)
	return v.problems
}

// A validator collects problems.
type validator struct {
	known    map[string][]string
	anyPool  bool // the nodes may be of several NodePools
	problems field.ErrorList
}

func (v *validator) invalid(at *field.Path, value any, why string) {
	v.problems = append(v.problems, field.Invalid(at, value, why))
}

func (v *validator) labels(at *field.Path, labels map[string]string) {
	for _, key := range sets.List(sets.KeySet(labels)) {
		v.key(at.Key(key), key)
		for _, why := range validation.IsValidLabelValue(labels[key]) {
			v.invalid(at.Key(key), labels[key], why)
		}
		v.oneKnown(at.Key(key), key, []string{labels[key]})
	}
}

// key checks a label that nodes are to carry, or by which they are picked.
func (v *validator) key(at *field.Path, key string) {
	for _, why := range validation.IsQualifiedName(key) {
		v.invalid(at, key, why)
	}
	domain, _, _ := strings.Cut(key, "/")
	switch {
	case key == LabelCapacityType, key == LabelNodePool && v.anyPool:
	case strings.HasSuffix(domain, Group):
		v.invalid(at, key, "labels of domain "+Group+" are Stowage's to set, except "+LabelCapacityType)
	case key == corev1.LabelHostname:
		v.invalid(at, key, "is the node's own name")
	}
}

// oneKnown checks that a node can have one of the values.
func (v *validator) oneKnown(at *field.Path, key string, values []string) {
	known := v.known[key]
	if key == LabelCapacityType {
		known = CapacityTypes
	}
	if known != nil && !slices.ContainsFunc(values, func(s string) bool { return slices.Contains(known, s) }) {
		v.problems = append(v.problems, field.NotSupported(at, strings.Join(values, ", "), known))
	}
}

func (v *validator) template(at *field.Path, spec *NodeClaimTemplateSpec) {
	seen := map[corev1.Taint]*field.Path{}
	v.taints(at.Child("taints"), spec.Taints, seen)
	v.taints(at.Child("startupTaints"), spec.StartupTaints, seen)
	for i := range spec.Requirements {
		v.requirement(at.Child("requirements").Index(i), &spec.Requirements[i])
	}
	ref := at.Child("nodeClassRef")
	for _, f := range []struct{ name, value string }{
		{"group", spec.NodeClassRef.Group}, {"kind", spec.NodeClassRef.Kind}, {"name", spec.NodeClassRef.Name},
	} {
		if f.value == "" {
			v.problems = append(v.problems, field.Required(ref.Child(f.name), ""))
		}
	}
	if spec.TerminationGracePeriod == Never {
		v.invalid(at.Child("terminationGracePeriod"), Never, "must be a duration; leave it out for none")
	}
	v.duration(at.Child("terminationGracePeriod"), spec.TerminationGracePeriod)
	v.duration(at.Child("expireAfter"), spec.ExpireAfter)
}

var effects = []corev1.TaintEffect{corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute}

// taints checks one list of taints; seen has those of the lists before it, by
// key and effect, which name a taint.
func (v *validator) taints(at *field.Path, taints []corev1.Taint, seen map[corev1.Taint]*field.Path) {
	for i, t := range taints {
		at := at.Index(i)
		for _, why := range validation.IsQualifiedName(t.Key) {
			v.invalid(at.Child("key"), t.Key, why)
		}
		for _, why := range validation.IsValidLabelValue(t.Value) {
			v.invalid(at.Child("value"), t.Value, why)
		}
		if !slices.Contains(effects, t.Effect) {
			v.problems = append(v.problems, field.NotSupported(at.Child("effect"), t.Effect, effects))
		}
		name := corev1.Taint{Key: t.Key, Effect: t.Effect}
		if first, ok := seen[name]; ok {
			v.invalid(at, name.ToString(), "has the key and effect of "+first.String())
			continue
		}
		seen[name] = at
	}
}

func (v *validator) requirement(at *field.Path, r *Requirement) {
	v.key(at.Child("key"), r.Key)
	values := at.Child("values")
	for i, value := range r.Values {
		for _, why := range validation.IsValidLabelValue(value) {
			v.invalid(values.Index(i), value, why)
		}
	}
	switch r.Operator {
	case corev1.NodeSelectorOpIn:
		if len(r.Values) == 0 {
			v.problems = append(v.problems, field.Required(values, "operator In needs a value"))
		} else {
			v.oneKnown(values, r.Key, r.Values)
		}
		if r.MinValues != nil && len(r.Values) < *r.MinValues {
			v.invalid(at.Child("minValues"), *r.MinValues, "there are fewer values")
		}
	case corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt, OperatorGte, OperatorLte:
		if len(r.Values) != 1 {
			v.invalid(values, r.Values, "operator "+string(r.Operator)+" needs a single value")
		} else if n, err := strconv.ParseInt(r.Values[0], 10, 64); err != nil || n < 0 {
			v.invalid(values.Index(0), r.Values[0], "must be an integer, and not negative")
		}
	default:
		if !slices.Contains(Operators, r.Operator) {
			v.problems = append(v.problems, field.NotSupported(at.Child("operator"), r.Operator, Operators))
		}
	}
	if r.MinValues != nil && (*r.MinValues < 1 || *r.MinValues > 50) {
		v.invalid(at.Child("minValues"), *r.MinValues, "must be between 1 and 50")
	}
}

// duration checks that d is one. The patterns of the CRDs let pass what is too
// long to count.
func (v *validator) duration(at *field.Path, d Duration) {
	if _, ok := d.Get(); !ok && d != "" && d != Never {
		v.invalid(at, string(d), "must be a duration such as 1h30m")
	}
}

func (v *validator) limits(spec *field.Path, p *NodePool) {
	at := spec.Child("limits")
	for _, name := range sets.List(sets.KeySet(p.Spec.Limits)) {
		if q := p.Spec.Limits[name]; q.Sign() < 0 {
			v.invalid(at.Key(string(name)), q.String(), "must not be negative")
		}
		if p.Spec.Replicas != nil && name != "nodes" {
			v.problems = append(v.problems, field.Forbidden(at.Key(string(name)), "a static pool can only limit nodes"))
		}
	}
	if p.Spec.Replicas == nil {
		return
	}
	if *p.Spec.Replicas < 0 {
		v.invalid(spec.Child("replicas"), *p.Spec.Replicas, "must not be negative")
	}
	if p.Spec.Weight != nil {
		v.problems = append(v.problems, field.Forbidden(spec.Child("weight"), "a static pool has none"))
	}
}
