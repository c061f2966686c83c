package manifest

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider/aws"
	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	"github.com/stowage-sh/stowage/provisioner/problem"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/provisioner/v1alpha1"
	"github.com/stowage-sh/stowage/provisioner/v1beta1"
)

// ours checks the kinds that Stowage serves. Their CRDs have more rules than stand
// here: those that protect what a plan never reads (user data, tags) are left to
// the API server.
func (c *checker) ours(o client.Object) {
	spec := field.NewPath("spec")
	switch o := o.(type) {
	case *v1.NodePool:
		c.problems = append(c.problems, o.Validate(awsv1.LabelValues)...)
		c.nodePool(spec, &o.Spec)
	case *v1.NodeClaim:
		c.quantities(spec.Child("resources", "requests"), o.Spec.Resources.Requests)
		c.quantities(field.NewPath("status", "capacity"), o.Status.Capacity)
		c.quantities(field.NewPath("status", "allocatable"), o.Status.Allocatable)
		c.taints(spec.Child("taints"), o.Spec.Taints)
		for i, r := range o.Spec.Requirements {
			oneOf(c, spec.Child("requirements").Index(i).Child("operator"), r.Operator, v1.Operators...)
		}
	case *v1alpha1.NodeOverlay:
		c.problems = append(c.problems, problem.CheckOverlay(o)...)
	case *v1beta1.CapacityBuffer:
		c.capacityBuffer(spec, &o.Spec)
	case *awsv1.EC2NodeClass:
		err := aws.CheckNodeClass(&o.Spec)
		if wrong, ok := errors.AsType[*aws.NodeClassError](err); ok {
			c.problems = append(c.problems, &field.Error{Type: field.ErrorTypeForbidden, Field: "spec." + wrong.Field, Detail: wrong.Problem})
		}
	}
}

// capacityBuffer checks what the CRD does.
func (c *checker) capacityBuffer(spec *field.Path, s *v1beta1.CapacityBufferSpec) {
	c.replicas(spec.Child("replicas"), s.Replicas)
	c.replicas(spec.Child("percentage"), s.Percentage)
	c.quantities(spec.Child("limits"), s.Limits)
	switch {
	case s.PodTemplateRef != nil && s.ScalableRef != nil:
		c.problems = append(c.problems, field.Forbidden(spec.Child("scalableRef"), "must not be set with podTemplateRef"))
	case s.PodTemplateRef != nil && s.Replicas == nil && s.Limits == nil:
		c.required(spec.Child("replicas"), "must be set with podTemplateRef, or limits")
	}
	if r := s.PodTemplateRef; r != nil && r.Name == "" {
		c.required(spec.Child("podTemplateRef", "name"), "")
	}
	if r := s.ScalableRef; r != nil && (r.Kind == "" || r.Name == "") {
		c.required(spec.Child("scalableRef"), "must have kind and name")
	}
}

// nodePool checks what the CRD does and NodePool.Validate does not.
func (c *checker) nodePool(spec *field.Path, s *v1.NodePoolSpec) {
	template := spec.Child("template")
	for _, key := range sets.List(sets.KeySet(s.Template.Metadata.Labels)) {
		c.awsLabel(template.Child("metadata", "labels").Key(key), key)
	}
	for i, r := range s.Template.Spec.Requirements {
		c.awsLabel(template.Child("spec", "requirements").Index(i).Child("key"), r.Key)
	}
	if ref := s.Template.Spec.NodeClassRef; ref.Name != "" && ref.Group != "" && ref.Kind != "" && (ref.Group != awsv1.Group || ref.Kind != awsv1.Kind) {
		c.invalid(template.Child("spec", "nodeClassRef"), ref.Kind+"."+ref.Group, "must be an "+awsv1.Kind+" of group "+awsv1.Group)
	}
	oneOf(c, spec.Child("disruption", "consolidationPolicy"), s.Disruption.ConsolidationPolicy, v1.WhenEmpty, v1.WhenEmptyOrUnderutilized, v1.Balanced)
	c.budgets(spec.Child("disruption", "budgets"), s.Disruption.Budgets)
}

// awsLabel refuses labels in AWS's domain that no node has: a misspelled one
// would match nothing.
func (c *checker) awsLabel(at *field.Path, key string) {
	if inGroup(key, awsv1.Group) && !slices.Contains(awsv1.WellKnownLabels, key) {
		c.invalid(at, key, "is not a label of group "+awsv1.Group)
	}
}

// The forms of a budget's fields, as the CRD has them.
var (
	budgetNodes    = regexp.MustCompile(`^((100|[0-9]{1,2})%|[0-9]+)$`)
	budgetDuration = regexp.MustCompile(`^((([0-9]+(h|m))|([0-9]+h[0-9]+m))(0s)?)$`)
	budgetMacro    = regexp.MustCompile(`^@(annually|yearly|monthly|weekly|daily|midnight|hourly)$`)
)

// budgets checks that the budgets of a NodePool can be read. Whether one is active
// depends on the time, and matters to disruption only.
func (c *checker) budgets(at *field.Path, budgets []v1.Budget) {
	for i, b := range budgets {
		at := at.Index(i)
		if !budgetNodes.MatchString(b.Nodes) {
			c.invalid(at.Child("nodes"), b.Nodes, "must be a number or a percentage")
		}
		if b.Duration != "" && !budgetDuration.MatchString(string(b.Duration)) {
			c.invalid(at.Child("duration"), string(b.Duration), "must be hours and minutes, such as 1h30m")
		}
		if b.Schedule != "" && len(strings.Fields(b.Schedule)) != 5 && !budgetMacro.MatchString(b.Schedule) {
			c.invalid(at.Child("schedule"), b.Schedule, "must be a cron expression of five fields, or @daily and the like")
		}
		if (b.Schedule == "") != (b.Duration == "") {
			c.invalid(at, b.Nodes, "schedule must be set with duration")
		}
		for j, r := range b.Reasons {
			oneOf(c, at.Child("reasons").Index(j), r, v1.ReasonUnderutilized, v1.ReasonEmpty, v1.ReasonDrifted)
		}
	}
}
