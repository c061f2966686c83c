package v1_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// poolEdit changes a pool, of which it gets the template's spec as well.
type poolEdit = func(*v1.NodePool, *v1.NodeClaimTemplateSpec)

func withRequirement(key string, op corev1.NodeSelectorOperator, values ...string) poolEdit {
	return func(_ *v1.NodePool, s *v1.NodeClaimTemplateSpec) {
		s.Requirements = []v1.Requirement{{Key: key, Operator: op, Values: values}}
	}
}

func withLabel(key, value string) poolEdit {
	return func(p *v1.NodePool, _ *v1.NodeClaimTemplateSpec) {
		p.Spec.Template.Metadata.Labels = map[string]string{key: value}
	}
}

func withPreferencePrice(s string) poolEdit {
	return func(p *v1.NodePool, _ *v1.NodeClaimTemplateSpec) {
		p.Annotations = map[string]string{v1.AnnotationPreferencePrice: s}
	}
}

const (
	labels       = "spec.template.metadata.labels"
	requirements = "spec.template.spec.requirements[0]"
	key0         = requirements + ".key"
	values0      = requirements + ".values"
)

// unsound are changes to a sound pool, each with the field of the one problem
// that it makes; no field is no problem.
var unsound = []struct {
	name  string
	edit  poolEdit
	field string
}{
	{"hostname label", withLabel("kubernetes.io/hostname", "a"), labels + "[kubernetes.io/hostname]"},
	{"nodepool label", withLabel("karpenter.sh/nodepool", "a"), labels + "[karpenter.sh/nodepool]"},
	{"label in a domain that ends alike", withLabel("x.karpenter.sh/y", "a"), labels + "[x.karpenter.sh/y]"},
	{"label key", withLabel("a/b/c", "a"), labels + "[a/b/c]"},
	{"label value", withLabel("a", "b c"), labels + "[a]"},
	{"capacity type label", withLabel("karpenter.sh/capacity-type", "cheap"), labels + "[karpenter.sh/capacity-type]"},
	{"tenancy label", withLabel("karpenter.k8s.aws/instance-tenancy", "host"), labels + "[karpenter.k8s.aws/instance-tenancy]"},
	{"requirement on nodepool", withRequirement("karpenter.sh/nodepool", "Exists"), key0},
	{"requirement on hostname", withRequirement("kubernetes.io/hostname", "Exists"), key0},
	{"requirement key", withRequirement("-", "Exists"), key0},
	{"unknown operator", withRequirement("a", "Like", "b"), requirements + ".operator"},
	{"In without values", withRequirement("a", "In"), values0},
	{"Gt with two values", withRequirement("a", "Gt", "1", "2"), values0},
	{"Lte with a word", withRequirement("a", "Lte", "x"), values0 + "[0]"},
	{"Lt without a value", withRequirement("a", "Lt"), values0},
	{"value that no label has", withRequirement("a", "NotIn", "b c"), values0 + "[0]"},
	{"unknown capacity type", withRequirement("karpenter.sh/capacity-type", "In", "cheap"), values0},
	{"one known capacity type", withRequirement("karpenter.sh/capacity-type", "In", "cheap", "spot"), ""},
	{"unknown tenancy", withRequirement("karpenter.k8s.aws/instance-tenancy", "In", "host"), values0},
	{"unknown tenancy left out", withRequirement("karpenter.k8s.aws/instance-tenancy", "NotIn", "host"), ""},
	{"minValues above values", func(_ *v1.NodePool, s *v1.NodeClaimTemplateSpec) { s.Requirements[0].MinValues = new(3) }, requirements + ".minValues"},
	{"minValues out of range", func(_ *v1.NodePool, s *v1.NodeClaimTemplateSpec) { s.Requirements[2].MinValues = new(51) }, "spec.template.spec.requirements[2].minValues"},
	{"taint named twice", func(_ *v1.NodePool, s *v1.NodeClaimTemplateSpec) {
		s.StartupTaints = append(s.StartupTaints, corev1.Taint{Key: "a", Effect: "NoSchedule", Value: "other"})
	}, "spec.template.spec.startupTaints[1]"},
	{"taint with two effects", func(_ *v1.NodePool, s *v1.NodeClaimTemplateSpec) {
		s.Taints = append(s.Taints, corev1.Taint{Key: "a", Effect: "NoExecute"})
	}, ""},
	{"taint key", func(_ *v1.NodePool, s *v1.NodeClaimTemplateSpec) { s.Taints[0].Key = "-" }, "spec.template.spec.taints[0].key"},
	{"taint value", func(_ *v1.NodePool, s *v1.NodeClaimTemplateSpec) { s.Taints[0].Value = "a b" }, "spec.template.spec.taints[0].value"},
	{"taint effect", func(_ *v1.NodePool, s *v1.NodeClaimTemplateSpec) { s.Taints[0].Effect = "Never" }, "spec.template.spec.taints[0].effect"},
	{"no class", func(_ *v1.NodePool, s *v1.NodeClaimTemplateSpec) { s.NodeClassRef.Kind = "" }, "spec.template.spec.nodeClassRef.kind"},
	{"endless expireAfter", func(_ *v1.NodePool, s *v1.NodeClaimTemplateSpec) { s.ExpireAfter = "99999999999h" }, "spec.template.spec.expireAfter"},
	{"grace period Never", func(_ *v1.NodePool, s *v1.NodeClaimTemplateSpec) { s.TerminationGracePeriod = v1.Never }, "spec.template.spec.terminationGracePeriod"},
	{"consolidateAfter", func(p *v1.NodePool, _ *v1.NodeClaimTemplateSpec) { p.Spec.Disruption.ConsolidateAfter = "soon" }, "spec.disruption.consolidateAfter"},
	{"negative limit", func(p *v1.NodePool, _ *v1.NodeClaimTemplateSpec) {
		p.Spec.Limits = corev1.ResourceList{"cpu": resource.MustParse("-1")}
	}, "spec.limits[cpu]"},
	{"weight", func(p *v1.NodePool, _ *v1.NodeClaimTemplateSpec) { p.Spec.Weight = new(int32(101)) }, "spec.weight"},
	{"preference price", withPreferencePrice("ten"), "metadata.annotations[stowage.sh/preference-price]"},
	{"surcharge", func(p *v1.NodePool, _ *v1.NodeClaimTemplateSpec) {
		p.Annotations = map[string]string{v1.AnnotationInstanceSurcharge: "5 cents"}
	}, "metadata.annotations[stowage.sh/instance-surcharge]"},
	{"static pool with limits", func(p *v1.NodePool, _ *v1.NodeClaimTemplateSpec) { p.Spec.Weight, p.Spec.Replicas = nil, new(int64(1)) }, "spec.limits[cpu]"},
	{"static pool with weight", func(p *v1.NodePool, _ *v1.NodeClaimTemplateSpec) { p.Spec.Limits, p.Spec.Replicas = nil, new(int64(1)) }, "spec.weight"},
	{"negative replicas", func(p *v1.NodePool, _ *v1.NodeClaimTemplateSpec) {
		p.Spec.Limits, p.Spec.Weight, p.Spec.Replicas = nil, nil, new(int64(-1))
	}, "spec.replicas"},
}

func TestValidate(t *testing.T) {
	known := map[string][]string{"karpenter.k8s.aws/instance-tenancy": {"default", "dedicated"}}
	if problems := pool(t, full).Validate(known); len(problems) > 0 {
		t.Errorf("a sound pool: %v", problems.ToAggregate())
	}
	for _, c := range unsound {
		p := pool(t, full)
		c.edit(p, &p.Spec.Template.Spec)
		var fields []string
		for _, problem := range p.Validate(known) {
			fields = append(fields, problem.Field)
		}
		if got := strings.Join(fields, " "); got != c.field {
			t.Errorf("%s: problems at %q, want %q", c.name, got, c.field)
		}
	}
}
