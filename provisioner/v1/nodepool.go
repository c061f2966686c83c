package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A NodePool says what nodes may be bought, how many, and when they may go again.
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=nodepools,scope=Cluster,categories=karpenter
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.nodes
// +kubebuilder:printcolumn:name="NodeClass",type="string",JSONPath=".spec.template.spec.nodeClassRef.name",description=""
// +kubebuilder:printcolumn:name="Nodes",type="string",JSONPath=".status.nodes",description=""
// +kubebuilder:printcolumn:name="Ready",type="string",JSONPath=".status.conditions[?(@.type==\"Ready\")].status",description=""
// +kubebuilder:printcolumn:name="Age",type="date",JSONPath=".metadata.creationTimestamp",description=""
// +kubebuilder:printcolumn:name="Weight",type="integer",JSONPath=".spec.weight",priority=1,description=""
// +kubebuilder:printcolumn:name="CPU",type="string",JSONPath=".status.resources.cpu",priority=1,description=""
// +kubebuilder:printcolumn:name="Memory",type="string",JSONPath=".status.resources.memory",priority=1,description=""
type NodePool struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what the user asks for.
	// +required
	// +kubebuilder:validation:XValidation:message="Cannot transition NodePool between static (replicas set) and dynamic (replicas unset) provisioning modes",rule="has(self.replicas) == has(oldSelf.replicas)"
	// +kubebuilder:validation:XValidation:message="only 'limits.nodes' is supported on static NodePools",rule="!has(self.replicas) || (!has(self.limits) || size(self.limits) == 0 || (size(self.limits) == 1 && 'nodes' in self.limits))"
	// +kubebuilder:validation:XValidation:message="'weight' is not supported on static NodePools",rule="!has(self.replicas) || !has(self.weight)"
	Spec NodePoolSpec `json:"spec"`
	// Status is what there is.
	// +optional
	Status NodePoolStatus `json:"status,omitzero"`
}

// A NodePoolSpec says what nodes may be bought, how many, and when they may go.
type NodePoolSpec struct {
	// Template that every NodeClaim of the pool begins from.
	// +required
	Template NodeClaimTemplate `json:"template"`
	// Disruption says when nodes may be removed or replaced.
	// +optional
	// +kubebuilder:default={consolidateAfter: "0s"}
	Disruption Disruption `json:"disruption,omitzero"`
	// Limits on the sum over the pool's nodes, by resource name; "nodes" counts
	// them. No node is bought that would exceed one.
	// +optional
	Limits corev1.ResourceList `json:"limits,omitzero"`
	// Weight decides between pools that could both serve a pod: the heaviest
	// first, whatever it costs. Unset counts as 0.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Weight *int32 `json:"weight,omitempty"`
	// Replicas makes the pool static: so many nodes, whatever pods there are.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Replicas *int64 `json:"replicas,omitempty"`
}

// A NodeClaimTemplate is what the pool's NodeClaims and nodes begin from.
type NodeClaimTemplate struct {
	// Metadata that is copied to NodeClaim and node.
	// +optional
	Metadata TemplateMetadata `json:"metadata,omitzero"`
	// Spec that is copied to the NodeClaim, narrowed to what was decided.
	// +required
	Spec NodeClaimTemplateSpec `json:"spec"`
}

// TemplateMetadata is the part of an object's metadata that a template may set.
type TemplateMetadata struct {
	// Labels of NodeClaim and node.
	// +optional
	// +kubebuilder:validation:MaxProperties=100
	// +kubebuilder:validation:XValidation:message="label domain \"karpenter.sh\" is restricted",rule="self.all(x, x in [\"karpenter.sh/capacity-type\", \"karpenter.sh/nodepool\"] || !x.find(\"^([^/]+)\").endsWith(\"karpenter.sh\"))"
	// +kubebuilder:validation:XValidation:message="label \"karpenter.sh/nodepool\" is restricted",rule="self.all(x, x != \"karpenter.sh/nodepool\")"
	// +kubebuilder:validation:XValidation:message="label \"kubernetes.io/hostname\" is restricted",rule="self.all(x, x != \"kubernetes.io/hostname\")"
	Labels map[string]string `json:"labels,omitzero"`
	// Annotations of NodeClaim and node.
	// +optional
	Annotations map[string]string `json:"annotations,omitzero"`
}

// A NodeClaimTemplateSpec is what the pool's NodeClaims begin from: a
// NodeClaimSpec without the resources, which follow from the pods.
type NodeClaimTemplateSpec struct {
	// Taints that the pool's nodes have from the start and keep.
	// +optional
	Taints []corev1.Taint `json:"taints,omitzero"`
	// StartupTaints that the pool's nodes have from the start and that somebody
	// else removes once they are set up. Pods need not tolerate them.
	// +optional
	StartupTaints []corev1.Taint `json:"startupTaints,omitzero"`
	// Requirements on the labels of the pool's nodes; all of them hold.
	// +required
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:XValidation:message="requirements with operator 'In' must have a value defined",rule="self.all(x, x.operator == 'In' ? x.values.size() != 0 : true)"
	// +kubebuilder:validation:XValidation:message="requirements operator 'Gt', 'Lt', 'Gte', or 'Lte' must have a single positive integer value",rule="self.all(x, (x.operator == 'Gt' || x.operator == 'Lt' || x.operator == 'Gte' || x.operator == 'Lte') ? (x.values.size() == 1 && int(x.values[0]) >= 0) : true)"
	// +kubebuilder:validation:XValidation:message="requirements with 'minValues' must have at least that many values specified in the 'values' field",rule="self.all(x, (x.operator == 'In' && has(x.minValues)) ? x.values.size() >= x.minValues : true)"
	Requirements []Requirement `json:"requirements"`
	// NodeClassRef names the cloud's half of the description. Its name may change,
	// and then the nodes drift; its group and kind may not.
	// +required
	// +kubebuilder:validation:XValidation:rule="self.group == oldSelf.group",message="nodeClassRef.group is immutable"
	// +kubebuilder:validation:XValidation:rule="self.kind == oldSelf.kind",message="nodeClassRef.kind is immutable"
	NodeClassRef NodeClassReference `json:"nodeClassRef"`
	// TerminationGracePeriod is how long a node's drain may take before what still
	// blocks it is overruled. Unset: it waits for ever.
	// +optional
	// +kubebuilder:validation:Pattern=`^([0-9]+(s|m|h))+$`
	TerminationGracePeriod Duration `json:"terminationGracePeriod,omitempty"`
	// ExpireAfter is how old a node may become, or Never.
	// +optional
	// +kubebuilder:default="720h"
	// +kubebuilder:validation:Pattern=`^(([0-9]+(s|m|h))+|Never)$`
	ExpireAfter Duration `json:"expireAfter,omitempty"`
}

// Disruption says when nodes may be removed or replaced for the cluster's good.
type Disruption struct {
	// ConsolidateAfter is how long a node must have seen no pod come or go before
	// it may be consolidated, or Never.
	// +optional
	// +kubebuilder:default="0s"
	// +kubebuilder:validation:Pattern=`^(([0-9]+(s|m|h))+|Never)$`
	ConsolidateAfter Duration `json:"consolidateAfter,omitempty"`
	// ConsolidationPolicy says which nodes may be consolidated.
	// +optional
	// +kubebuilder:default=WhenEmptyOrUnderutilized
	ConsolidationPolicy ConsolidationPolicy `json:"consolidationPolicy,omitempty"`
	// Budgets limit how many nodes may be in disruption at once; the strictest one
	// that is active decides.
	// +optional
	// +kubebuilder:default={{nodes: "10%"}}
	// +kubebuilder:validation:MaxItems=50
	// +kubebuilder:validation:XValidation:message="'schedule' must be set with 'duration'",rule="self.all(x, has(x.schedule) == has(x.duration))"
	Budgets []Budget `json:"budgets,omitzero"`
}

// A ConsolidationPolicy says which nodes may be consolidated.
// +kubebuilder:validation:Enum=WhenEmpty;WhenEmptyOrUnderutilized;Balanced
type ConsolidationPolicy string

// The consolidation policies.
const (
	// WhenEmpty removes only nodes without pods that would have to move.
	WhenEmpty ConsolidationPolicy = "WhenEmpty"
	// WhenEmptyOrUnderutilized also removes or replaces nodes whose pods fit
	// elsewhere for less.
	WhenEmptyOrUnderutilized ConsolidationPolicy = "WhenEmptyOrUnderutilized"
	// Balanced does so only where the savings outweigh the disruption.
	Balanced ConsolidationPolicy = "Balanced"
)

// A DisruptionReason is why a node is disrupted.
// +kubebuilder:validation:Enum=Underutilized;Empty;Drifted
type DisruptionReason string

// The reasons that budgets know.
const (
	ReasonUnderutilized DisruptionReason = "Underutilized"
	ReasonEmpty         DisruptionReason = "Empty"
	ReasonDrifted       DisruptionReason = "Drifted"
)

// A Budget is how many of a pool's nodes may be in disruption at once, for some
// reasons and at some times.
type Budget struct {
	// Reasons that the budget is for; none means all.
	// +optional
	// +kubebuilder:validation:MaxItems=50
	Reasons []DisruptionReason `json:"reasons,omitzero"`
	// Nodes is a number, or a percentage of the pool's nodes, rounded up.
	// +required
	// +kubebuilder:default="10%"
	// +kubebuilder:validation:Pattern=`^((100|[0-9]{1,2})%|[0-9]+)$`
	Nodes string `json:"nodes"`
	// Schedule is when the budget becomes active: a cron expression of five fields
	// or @hourly and the like, in UTC. Unset: always active.
	// +optional
	// +kubebuilder:validation:Pattern=`^(@(annually|yearly|monthly|weekly|daily|midnight|hourly))|((.+)\s(.+)\s(.+)\s(.+)\s(.+))$`
	Schedule string `json:"schedule,omitempty"`
	// Duration for which the budget stays active after each start, in hours and
	// minutes. Set if and only if Schedule is.
	// +optional
	// +kubebuilder:validation:Pattern=`^((([0-9]+(h|m))|([0-9]+h[0-9]+m))(0s)?)$`
	Duration Duration `json:"duration,omitempty"`
}

// A NodePoolStatus is what there is of a pool.
type NodePoolStatus struct {
	// Resources is the sum of the capacity of the pool's nodes.
	// +optional
	Resources corev1.ResourceList `json:"resources,omitzero"`
	// Nodes is how many nodes the pool has.
	// +optional
	// +kubebuilder:default=0
	Nodes int64 `json:"nodes,omitempty"`
	// NodeClassObservedGeneration is the NodeClass's generation that the conditions
	// speak of.
	// +optional
	NodeClassObservedGeneration int64 `json:"nodeClassObservedGeneration,omitempty"`
	// Conditions: see the constants that begin with Condition.
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitzero"`
}

// A NodePoolList is a list of NodePools.
// +kubebuilder:object:root=true
type NodePoolList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	// Items of the list.
	Items []NodePool `json:"items"`
}
