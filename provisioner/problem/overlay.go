package problem

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/provisioner/v1alpha1"
)

// Overlays are the NodeOverlays that are applied, in the order in which they are
// heard: the heaviest first, of equal ones that whose name is last in the alphabet.
// For each offering the first that speaks of its price decides the price, and the
// first that speaks of a resource decides that resource. None is the zero value.
type Overlays []overlay

// An overlay is what was read from a NodeOverlay.
type overlay struct {
	name         string
	weight       int32
	requirements []condition
	keys         []string // of the labels that the requirements are on
	price        adjustment
	capacity     cloudprovider.Resources
}

// OverlaysOf returns those of a snapshot that are Ready: the controller of their
// status has found nothing against them.
func OverlaysOf(s *state.Snapshot) Overlays {
	var all Overlays
	for _, o := range byWeight(s.NodeOverlays.All()) {
		if !v1.IsTrue(o.Status.Conditions, v1.ConditionReady) {
			continue
		}
		// One that was edited since may not be sound any more.
		if read, problems := readOverlay(o); len(problems) == 0 {
			all = append(all, read)
		}
	}
	return all
}

// byWeight returns overlays in the order in which they are heard, without those
// that are being deleted.
func byWeight(all []*v1alpha1.NodeOverlay) []*v1alpha1.NodeOverlay {
	all = slices.DeleteFunc(slices.Clone(all), func(o *v1alpha1.NodeOverlay) bool { return o.DeletionTimestamp != nil })
	slices.SortFunc(all, func(a, b *v1alpha1.NodeOverlay) int {
		return cmp.Or(cmp.Compare(overlayWeight(b), overlayWeight(a)), cmp.Compare(b.Name, a.Name))
	})
	return all
}

func overlayWeight(o *v1alpha1.NodeOverlay) int32 {
	if o.Spec.Weight == nil {
		return 0
	}
	return *o.Spec.Weight
}

// Price returns what an hour of an offering costs, by the labels of the node to
// be, and reports whether that is known and whether an overlay had a say.
func (all Overlays) Price(on labels.Labels, price pricing.MicroUSD, known bool) (_ pricing.MicroUSD, nowKnown, overlaid bool) {
	for i := range all {
		if o := &all[i]; o.price.kind != unadjusted && meetsAll(o.requirements, on) {
			price, known = o.price.of(price, known)
			return price, known, true
		}
	}
	return price, known, false
}

// Type returns what an instance type is as an offering, by the labels of the node
// to be, and reports whether an overlay had a say. It is the same type if not.
func (all Overlays) Type(on labels.Labels, kind *cloudprovider.InstanceType) (_ *cloudprovider.InstanceType, overlaid bool) {
	return all.typeOf(on, kind, overlaidTypes{})
}

// overlaidTypes keeps what overlays made of instance types, so that rows which are
// alike share one, as they share the catalog's.
type overlaidTypes map[overlaidType]*cloudprovider.InstanceType

type overlaidType struct {
	kind *cloudprovider.InstanceType
	more string // resources and their quantities
}

func (all Overlays) typeOf(on labels.Labels, kind *cloudprovider.InstanceType, known overlaidTypes) (_ *cloudprovider.InstanceType, overlaid bool) {
	var more cloudprovider.Resources
	for i := range all {
		if o := &all[i]; len(o.capacity) > 0 && meetsAll(o.requirements, on) {
			for name, q := range o.capacity {
				if _, decided := more[name]; decided || slices.Contains(kind.Impossible, name) {
					continue
				}
				if more == nil {
					more = cloudprovider.Resources{}
				}
				more[name] = q
			}
		}
	}
	if more == nil {
		return kind, false
	}
	key := overlaidType{kind, fmt.Sprint(more)} // fmt sorts the keys of a map
	if known[key] == nil {
		changed := *kind
		changed.Capacity, changed.Allocatable = replaced(kind.Capacity, more), replaced(kind.Allocatable, more)
		known[key] = &changed
	}
	return known[key], true
}

// replaced returns a copy of resources with some of them replaced.
func replaced(r, by cloudprovider.Resources) cloudprovider.Resources {
	all := cloudprovider.Resources{}
	maps.Copy(all, r)
	maps.Copy(all, by)
	return all
}

// mentioned returns the label keys by which overlays tell offerings apart.
func (all Overlays) mentioned() sets.Set[string] {
	keys := sets.New[string]()
	for i := range all {
		keys.Insert(all[i].keys...)
	}
	return keys
}

// CheckOverlay lists what is wrong with a NodeOverlay by itself. Much of it the API
// server has checked already, but not for objects that come from files.
func CheckOverlay(o *v1alpha1.NodeOverlay) field.ErrorList {
	_, problems := readOverlay(o)
	return problems
}

func readOverlay(o *v1alpha1.NodeOverlay) (read overlay, problems field.ErrorList) {
	spec := field.NewPath("spec")
	read = overlay{name: o.Name, weight: overlayWeight(o), capacity: resources(o.Spec.Capacity)}
	for i := range o.Spec.Requirements {
		at := spec.Child("requirements").Index(i)
		r := v1.Requirement{Key: o.Spec.Requirements[i].Key, Operator: o.Spec.Requirements[i].Operator, Values: o.Spec.Requirements[i].Values}
		wrong := v1.ValidateRequirement(at, &r)
		if key, old := v1.NormalizedLabels[r.Key]; old {
			r.Key = key
		}
		parsed, err := requirement(r)
		if err != nil && len(wrong) == 0 {
			wrong = field.ErrorList{field.Invalid(at, r.Values, err.Error())}
		}
		problems = append(problems, wrong...)
		read.requirements, read.keys = append(read.requirements, parsed), append(read.keys, r.Key)
	}
	var wrong *field.Error
	if read.price, wrong = readAdjustment(spec, &o.Spec); wrong != nil {
		problems = append(problems, wrong)
	}
	problems = append(problems, checkExtended(spec.Child("capacity"), o.Spec.Capacity)...)
	if w := o.Spec.Weight; w != nil && (*w < 1 || *w > 10000) {
		problems = append(problems, field.Invalid(spec.Child("weight"), *w, "must be between 1 and 10000"))
	}
	return read, problems
}

// maxExtended is the most of an extended resource that a node may have: about what
// the largest have of memory, so that sums over many nodes do not overflow.
const maxExtended = 1 << 44

// checkExtended lists what among these is no extended resource, or no number of it.
func checkExtended(at *field.Path, list corev1.ResourceList) (problems field.ErrorList) {
	for _, name := range slices.Sorted(maps.Keys(list)) {
		domain, _, qualified := strings.Cut(string(name), "/")
		for _, why := range validation.IsQualifiedName(string(name)) {
			problems = append(problems, field.Invalid(at.Key(string(name)), string(name), why))
		}
		if !qualified || domain == "kubernetes.io" || strings.HasSuffix(domain, ".kubernetes.io") {
			problems = append(problems, field.Invalid(at.Key(string(name)), string(name), "is not an extended resource, such as example.com/device"))
		}
		if q := list[name]; q.Sign() < 0 || q.CmpInt64(maxExtended) > 0 || q.CmpInt64(q.Value()) != 0 {
			problems = append(problems, field.Invalid(at.Key(string(name)), q.String(), "must be a whole number, not negative and at most 16Ti"))
		}
	}
	return problems
}
