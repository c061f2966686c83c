package drift

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// The reasons of the condition Drifted that are not the cloud's.
const (
	// NodePoolDrifted: the NodePool's template has changed since the NodeClaim was made.
	NodePoolDrifted = "NodePoolDrifted"
	// RequirementsDrifted: the labels do not meet the NodePool's requirements any more.
	RequirementsDrifted = "RequirementsDrifted"
	// InstanceTypeNotFound: the NodeClass can have no node of the instance type any more.
	InstanceTypeNotFound = "InstanceTypeNotFound"
	// RebalanceRecommended: the cloud recommends another machine, and is to be heard.
	RebalanceRecommended = "RebalanceRecommended"
)

// What a NodeClaim must have been there for, and its instance type missing, before
// InstanceTypeNotFound is said. A catalog may be without a type for a moment, for
// want of an image or a zone, and the replacement would be of another type.
const (
	minAge     = time.Hour
	minMissing = 30 * time.Minute
)

// Facts are what is known of one NodeClaim, and what it is compared with. They are
// not modified. What is not known is its zero value.
type Facts struct {
	Now   time.Time
	Claim *v1.NodeClaim
	Pool  *v1.NodePool
	// PoolHash is the NodePool's hash; "" where nothing may be concluded from the
	// NodePool as it is now.
	PoolHash string
	// Catalog of the NodeClaim's NodeClass; nil if it cannot be had.
	Catalog *cloudprovider.Catalog
	// Missing is how long the catalog has been without the NodeClaim's instance type.
	Missing time.Duration
	// Rebalance says that recommendations of the cloud to replace a machine are heard.
	Rebalance bool
	// Cloud is what the cloud says of the machine; nil if it can say nothing.
	Cloud *cloudprovider.Drift
}

// A rule looks at a NodeClaim in one respect. known is false if something is
// missing to say.
type rule struct {
	reason string // "" stands for all that are not another rule's
	judge  func(*Facts) (d cloudprovider.Drift, known bool)
}

var rules = []rule{
	{NodePoolDrifted, (*Facts).hash},
	{RequirementsDrifted, (*Facts).requirements},
	{InstanceTypeNotFound, (*Facts).instanceType},
	{RebalanceRecommended, (*Facts).rebalance},
	{"", (*Facts).cloud},
}

// Judge returns what the condition Drifted of a NodeClaim should say, nothing if it
// should not be there: the first rule that finds drift decides. If none does, what
// the condition says stays as long as the rule that it is from is silent.
func Judge(f *Facts) cloudprovider.Drift {
	var was cloudprovider.Drift
	if c := v1.GetCondition(f.Claim.Status.Conditions, v1.ConditionDrifted); c != nil && c.Status == metav1.ConditionTrue {
		was = cloudprovider.Drift{Reason: c.Reason, Message: c.Message}
	}
	if f.Claim.Annotations[v1.AnnotationNodePoolHashVersion] != v1.NodePoolHashVersion {
		return was // another's, who may have found more than we know: the stamp decides what stays
	}
	stays := false
	for _, r := range rules {
		d, known := r.judge(f)
		if d.Reason != "" {
			return d
		}
		stays = stays || !known && r.covers(was.Reason)
	}
	if stays {
		return was
	}
	return cloudprovider.Drift{}
}

// covers reports whether a reason is the rule's.
func (r rule) covers(reason string) bool {
	if r.reason != "" {
		return r.reason == reason
	}
	return !slices.ContainsFunc(rules, func(other rule) bool { return other.reason == reason })
}

// hash compares the hash that the claim was made under with the NodePool's.
func (f *Facts) hash() (cloudprovider.Drift, bool) {
	was := f.Claim.Annotations[v1.AnnotationNodePoolHash]
	if f.PoolHash == "" || was == "" {
		return cloudprovider.Drift{}, false
	}
	if was == f.PoolHash {
		return cloudprovider.Drift{}, true
	}
	return cloudprovider.Drift{Reason: NodePoolDrifted, Message: fmt.Sprintf(
		"the template of NodePool %s has changed since the NodeClaim was made: its hash is %s, and was %s", f.Pool.Name, f.PoolHash, was)}, true
}

// requirements compares the claim's labels with what the NodePool requires. A label
// that the claim lacks, and of which the catalog cannot say that nodes of its type
// lack it, says nothing.
func (f *Facts) requirements() (d cloudprovider.Drift, known bool) {
	if f.PoolHash == "" {
		return d, false
	}
	known = true
	all := f.Pool.Spec.Template.Spec.Requirements
	for i := range all {
		r := &all[i]
		value, present := f.label(r.Key)
		if r.Allows(value, present) {
			continue
		}
		if !present && f.kind() == nil {
			known = false
			continue
		}
		has := "the node does not have the label"
		if present {
			has = fmt.Sprintf("the node has %q", value)
		}
		return cloudprovider.Drift{Reason: RequirementsDrifted, Message: fmt.Sprintf(
			"NodePool %s requires %s, and %s", f.Pool.Name, said(r), has)}, true
	}
	return d, known
}

// label returns the value of a label of the node: the NodeClaim's or, where that is
// from a time when the label was not known, its instance type's and zone's.
func (f *Facts) label(key string) (value string, present bool) {
	if canonical, ok := v1.NormalizedLabels[key]; ok {
		key = canonical
	} else if f.Catalog != nil && f.Catalog.LabelAliases[key] != "" {
		key = f.Catalog.LabelAliases[key]
	}
	if value, present = f.Claim.Labels[key]; present {
		return value, true
	}
	kind := f.kind()
	if kind == nil {
		return "", false
	}
	if value, present = kind.Labels[key]; present {
		return value, true
	}
	value, present = f.Catalog.ZoneLabels[f.Claim.Labels[corev1.LabelTopologyZone]][key]
	return value, present
}

// kind is the claim's instance type in the catalog; nil if it is not there.
func (f *Facts) kind() *cloudprovider.InstanceType {
	if f.Catalog == nil {
		return nil
	}
	kind, _ := f.Catalog.InstanceType(f.Claim.Labels[corev1.LabelInstanceTypeStable])
	return kind
}

// instanceType looks for the claim's instance type in the catalog. An empty catalog
// is a mistake somewhere.
func (f *Facts) instanceType() (d cloudprovider.Drift, known bool) {
	name := f.Claim.Labels[corev1.LabelInstanceTypeStable]
	switch {
	case f.kind() != nil:
		return d, true
	case name == "" || f.Catalog == nil || len(f.Catalog.InstanceTypes) == 0 || slices.Contains(f.Catalog.Unreadable, name):
		return d, false
	case f.Now.Sub(f.Claim.CreationTimestamp.Time) < minAge || f.Missing < minMissing:
		return d, false
	}
	return cloudprovider.Drift{Reason: InstanceTypeNotFound, Message: fmt.Sprintf(
		"%s can have no node of instance type %s any more", cloudprovider.NodeClassRef(f.Claim.Spec.NodeClassRef), name)}, true
}

// rebalance looks whether package interrupt has written a recommendation down.
func (f *Facts) rebalance() (d cloudprovider.Drift, known bool) {
	if c := v1.GetCondition(f.Claim.Status.Conditions, v1.ConditionRebalance); f.Rebalance && c != nil && c.Status == metav1.ConditionTrue {
		d = cloudprovider.Drift{Reason: RebalanceRecommended, Message: c.Message}
	}
	return d, true
}

func (f *Facts) cloud() (cloudprovider.Drift, bool) {
	if f.Cloud == nil {
		return cloudprovider.Drift{}, false
	}
	return *f.Cloud, true
}

// said writes a requirement in words: of many values the first few.
func said(r *v1.Requirement) string {
	const most = 5
	words := fmt.Sprintf("%s %s", r.Key, r.Operator)
	if len(r.Values) > most {
		return fmt.Sprintf("%s %s and %d more", words, strings.Join(r.Values[:most], ", "), len(r.Values)-most)
	}
	return strings.TrimSpace(words + " " + strings.Join(r.Values, ", "))
}
