package drift

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// catalog has a small and a gpu machine in two zones.
func catalog() *cloudprovider.Catalog {
	c := &cloudprovider.Catalog{
		Region: "r", ZoneLabels: map[string]map[string]string{"a": {"zone-id": "1"}, "b": {"zone-id": "2"}},
		LabelAliases: map[string]string{"csi/zone": corev1.LabelTopologyZone},
	}
	for _, name := range []string{"gpu", "small"} {
		labels := map[string]string{corev1.LabelInstanceTypeStable: name, corev1.LabelArchStable: "amd64", "cpus": "2"}
		if name == "gpu" {
			labels["gpus"] = "1"
		}
		c.InstanceTypes = append(c.InstanceTypes, cloudprovider.InstanceType{Name: name, Labels: labels})
	}
	return c
}

// facts are those of a launched NodeClaim that is what was asked for.
func facts() *Facts {
	f := &Facts{Now: noon, Claim: &v1.NodeClaim{}, Pool: &v1.NodePool{}, PoolHash: "ours", Catalog: catalog(), Cloud: &cloudprovider.Drift{}}
	f.Pool.Name = "pool"
	f.Claim.Name = "claim"
	f.Claim.CreationTimestamp = metav1.NewTime(noon.Add(-24 * time.Hour))
	f.Claim.Annotations = map[string]string{v1.AnnotationNodePoolHash: "ours", v1.AnnotationNodePoolHashVersion: v1.NodePoolHashVersion}
	f.Claim.Labels = map[string]string{
		v1.LabelNodePool: "pool", corev1.LabelInstanceTypeStable: "small", corev1.LabelTopologyZone: "a", v1.LabelCapacityType: "spot",
		corev1.LabelArchStable: "amd64", "team": "blue",
	}
	f.Claim.Spec.NodeClassRef = v1.NodeClassReference{Group: "g", Kind: "Class", Name: "default"}
	return f
}

// drifted puts the condition on the claim.
func drifted(reason string) func(*Facts) {
	return func(f *Facts) {
		f.Claim.Status.Conditions = []metav1.Condition{{Type: v1.ConditionDrifted, Status: metav1.ConditionTrue, Reason: reason, Message: "as before"}}
	}
}

func requires(key string, operator corev1.NodeSelectorOperator, values ...string) func(*Facts) {
	return func(f *Facts) {
		all := &f.Pool.Spec.Template.Spec.Requirements
		*all = append(*all, v1.Requirement{Key: key, Operator: operator, Values: values})
	}
}

func labelled(key, value string) func(*Facts) {
	return func(f *Facts) { f.Claim.Labels[key] = value }
}

const (
	in     = corev1.NodeSelectorOpIn
	exists = corev1.NodeSelectorOpExists
)

var (
	hashChanged  = func(f *Facts) { f.PoolHash = "new" }
	poolUnsure   = func(f *Facts) { f.PoolHash = "" }
	noCatalog    = func(f *Facts) { f.Catalog = nil }
	cloudSilent  = func(f *Facts) { f.Cloud = nil }
	cloudDrifted = func(f *Facts) { f.Cloud = &cloudprovider.Drift{Reason: "AMIDrift", Message: "another image"} }
	typeGone     = func(f *Facts) { f.Catalog.InstanceTypes, f.Missing = f.Catalog.InstanceTypes[:1], time.Hour }
	recommended  = func(f *Facts) {
		f.Rebalance = true
		f.Claim.Status.Conditions = []metav1.Condition{{Type: v1.ConditionRebalance, Status: metav1.ConditionTrue, Message: "soon"}}
	}
	theirs = func(f *Facts) {
		f.Claim.Annotations = map[string]string{v1.AnnotationNodePoolHash: "123", v1.AnnotationNodePoolHashVersion: "v3"}
	}
)

const (
	hashMessage = "NodePoolDrifted: the template of NodePool pool has changed since the NodeClaim was made: its hash is new, and was ours"
	goneMessage = "InstanceTypeNotFound: Class.g/default can have no node of instance type small any more"
)

var judgements = []struct {
	name  string
	edits []func(*Facts)
	want  string // reason and message; "" for no drift
}{
	{"as it was made", nil, ""},
	{"the condition goes with its reason", []func(*Facts){drifted(NodePoolDrifted)}, ""},
	{"a condition that is not true is none", []func(*Facts){theirs, drifted("AMIDrift"), func(f *Facts) {
		f.Claim.Status.Conditions[0].Status = metav1.ConditionFalse
	}}, ""},

	{"the cloud recommends another machine", []func(*Facts){recommended}, "RebalanceRecommended: soon"},
	{"… and is not heard any more", []func(*Facts){recommended, func(f *Facts) { f.Rebalance = false }}, ""},
	{"another template", []func(*Facts){hashChanged}, hashMessage},
	{"another template, and what follows", []func(*Facts){hashChanged, cloudDrifted, requires("team", in, "red")}, hashMessage},
	{"the pool is not stamped or not sound", []func(*Facts){poolUnsure, requires("team", in, "red")}, ""},
	{"… and the condition stays", []func(*Facts){poolUnsure, drifted(NodePoolDrifted)}, "NodePoolDrifted: as before"},
	{"… but not another rule's", []func(*Facts){poolUnsure, drifted("AMIDrift")}, ""},
	{"… whom it does not silence", []func(*Facts){poolUnsure, drifted(NodePoolDrifted), cloudDrifted}, "AMIDrift: another image"},
	{"a claim without a hash", []func(*Facts){func(f *Facts) { delete(f.Claim.Annotations, v1.AnnotationNodePoolHash) }}, ""},
	{"another's hash", []func(*Facts){theirs, hashChanged, typeGone, cloudDrifted, requires("team", in, "red")}, ""},
	{"another's hash and condition", []func(*Facts){theirs, drifted("SubnetDrift")}, "SubnetDrift: as before"},

	{"a value that is not allowed any more", []func(*Facts){requires(v1.LabelCapacityType, in, "on-demand")},
		`RequirementsDrifted: NodePool pool requires karpenter.sh/capacity-type In on-demand, and the node has "spot"`},
	{"many values", []func(*Facts){requires("team", in, "1", "2", "3", "4", "5", "6", "7")},
		`RequirementsDrifted: NodePool pool requires team In 1, 2, 3, 4, 5 and 2 more, and the node has "blue"`},
	{"requirements that are met", []func(*Facts){requires("team", in, "red", "blue"), requires("team", corev1.NodeSelectorOpNotIn, "red"), requires("team", exists),
		requires("other", corev1.NodeSelectorOpDoesNotExist), requires("cpus", corev1.NodeSelectorOpGt, "1"), requires("zone-id", in, "1")}, ""},
	{"the second of two on a key", []func(*Facts){requires("team", in, "red", "blue"), requires("team", corev1.NodeSelectorOpNotIn, "blue")},
		`RequirementsDrifted: NodePool pool requires team NotIn blue, and the node has "blue"`},
	{"a label that the claim lacks and its type has not", []func(*Facts){requires("gpus", exists)},
		"RequirementsDrifted: NodePool pool requires gpus Exists, and the node does not have the label"},
	{"a label that the claim lacks and its type has", []func(*Facts){requires("cpus", in, "2")}, ""},
	{"… with another value", []func(*Facts){requires("cpus", corev1.NodeSelectorOpGt, "2")},
		`RequirementsDrifted: NodePool pool requires cpus Gt 2, and the node has "2"`},
	{"the claim's label has the last word", []func(*Facts){requires("cpus", in, "4"), labelled("cpus", "4")}, ""},
	{"a label that the claim lacks, and no catalog", []func(*Facts){requires("gpus", exists), noCatalog}, ""},
	{"… but another that it has", []func(*Facts){requires("gpus", exists), noCatalog, requires("team", in, "red")},
		`RequirementsDrifted: NodePool pool requires team In red, and the node has "blue"`},
	{"… and the condition stays", []func(*Facts){requires("gpus", exists), noCatalog, drifted(RequirementsDrifted)}, "RequirementsDrifted: as before"},
	{"a label that the claim lacks, and its type is gone", []func(*Facts){requires("gpus", exists), typeGone, func(f *Facts) { f.Missing = 0 }}, ""},
	{"a key of the past", []func(*Facts){requires(corev1.LabelFailureDomainBetaZone, in, "a"), requires("beta.kubernetes.io/arch", in, "amd64")}, ""},
	{"a key of the past, another value", []func(*Facts){requires(corev1.LabelFailureDomainBetaZone, in, "b")},
		`RequirementsDrifted: NodePool pool requires failure-domain.beta.kubernetes.io/zone In b, and the node has "a"`},
	{"a key that others write", []func(*Facts){requires("csi/zone", in, "a")}, ""},

	{"the type is gone", []func(*Facts){typeGone}, goneMessage},
	{"the type is gone for a moment", []func(*Facts){typeGone, func(f *Facts) { f.Missing = 29 * time.Minute }}, ""},
	{"… and the condition stays", []func(*Facts){typeGone, func(f *Facts) { f.Missing = 0 }, drifted(InstanceTypeNotFound)}, "InstanceTypeNotFound: as before"},
	{"the type is gone, the claim young", []func(*Facts){typeGone, func(f *Facts) {
		f.Claim.CreationTimestamp = metav1.NewTime(noon.Add(-59 * time.Minute))
	}}, ""},
	{"no catalog", []func(*Facts){noCatalog, func(f *Facts) { f.Missing = time.Hour }}, ""},
	{"an empty catalog", []func(*Facts){typeGone, func(f *Facts) { f.Catalog.InstanceTypes = nil }}, ""},
	{"the type could not be read", []func(*Facts){typeGone, func(f *Facts) { f.Catalog.Unreadable = []string{"small"} }}, ""},
	{"the claim does not say its type", []func(*Facts){typeGone, func(f *Facts) { delete(f.Claim.Labels, corev1.LabelInstanceTypeStable) }}, ""},

	{"the cloud's kinds", []func(*Facts){cloudDrifted}, "AMIDrift: another image"},
	{"the cloud's kinds come last", []func(*Facts){cloudDrifted, typeGone}, goneMessage},
	{"one of the cloud's for another", []func(*Facts){cloudDrifted, drifted("SubnetDrift")}, "AMIDrift: another image"},
	{"the cloud is silent", []func(*Facts){cloudSilent, drifted("SubnetDrift")}, "SubnetDrift: as before"},
	{"the cloud is silent, the reason was not its own", []func(*Facts){cloudSilent, drifted(InstanceTypeNotFound)}, ""},
}

func TestJudge(t *testing.T) {
	for _, c := range judgements {
		f := facts()
		for _, edit := range c.edits {
			edit(f)
		}
		d := Judge(f)
		if got := strings.TrimPrefix(d.Reason+": "+d.Message, ": "); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
}
