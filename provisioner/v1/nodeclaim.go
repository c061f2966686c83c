package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A NodeClaim is one node, from the decision to buy it until its machine is gone.
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=nodeclaims,scope=Cluster,categories=karpenter
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Type",type="string",JSONPath=".metadata.labels.node\\.kubernetes\\.io/instance-type",description=""
// +kubebuilder:printcolumn:name="Capacity",type="string",JSONPath=".metadata.labels.karpenter\\.sh/capacity-type",description=""
// +kubebuilder:printcolumn:name="Zone",type="string",JSONPath=".metadata.labels.topology\\.kubernetes\\.io/zone",description=""
// +kubebuilder:printcolumn:name="Node",type="string",JSONPath=".status.nodeName",description=""
// +kubebuilder:printcolumn:name="Ready",type="string",JSONPath=".status.conditions[?(@.type==\"Ready\")].status",description=""
// +kubebuilder:printcolumn:name="Age",type="date",JSONPath=".metadata.creationTimestamp",description=""
// +kubebuilder:printcolumn:name="ImageID",type="string",JSONPath=".status.imageID",priority=1,description=""
// +kubebuilder:printcolumn:name="ID",type="string",JSONPath=".status.providerID",priority=1,description=""
// +kubebuilder:printcolumn:name="NodePool",type="string",JSONPath=".metadata.labels.karpenter\\.sh/nodepool",priority=1,description=""
// +kubebuilder:printcolumn:name="NodeClass",type="string",JSONPath=".spec.nodeClassRef.name",priority=1,description=""
// +kubebuilder:printcolumn:name="Drifted",type="string",JSONPath=".status.conditions[?(@.type==\"Drifted\")].status",priority=1,description=""
type NodeClaim struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what was decided. It never changes.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable"
	Spec NodeClaimSpec `json:"spec"`
	// Status is how far the node has come.
	// +optional
	Status NodeClaimStatus `json:"status,omitzero"`
}

// A NodeClaimSpec describes the node to buy.
type NodeClaimSpec struct {
	// Taints that the node has from the start and keeps.
	// +optional
	Taints []corev1.Taint `json:"taints,omitzero"`
	// StartupTaints that the node has from the start and that somebody else removes
	// once it is set up. Pods need not tolerate them.
	// +optional
	StartupTaints []corev1.Taint `json:"startupTaints,omitzero"`
	// Requirements on the node's labels; all of them hold.
	// +required
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:XValidation:message="requirements with operator 'In' must have a value defined",rule="self.all(x, x.operator == 'In' ? x.values.size() != 0 : true)"
	// +kubebuilder:validation:XValidation:message="requirements operator 'Gt', 'Lt', 'Gte', or 'Lte' must have a single positive integer value",rule="self.all(x, (x.operator == 'Gt' || x.operator == 'Lt' || x.operator == 'Gte' || x.operator == 'Lte') ? (x.values.size() == 1 && int(x.values[0]) >= 0) : true)"
	// +kubebuilder:validation:XValidation:message="requirements with 'minValues' must have at least that many values specified in the 'values' field",rule="self.all(x, (x.operator == 'In' && has(x.minValues)) ? x.values.size() >= x.minValues : true)"
	Requirements []Requirement `json:"requirements"`
	// Resources that the node must at least hold.
	// +optional
	Resources ResourceRequests `json:"resources,omitzero"`
	// NodeClassRef names the cloud's half of the description.
	// +required
	NodeClassRef NodeClassReference `json:"nodeClassRef"`
	// TerminationGracePeriod is how long the drain may take before what still
	// blocks it is overruled. Unset: it waits for ever.
	// +optional
	// +kubebuilder:validation:Pattern=`^([0-9]+(s|m|h))+$`
	TerminationGracePeriod Duration `json:"terminationGracePeriod,omitempty"`
	// ExpireAfter is how old the node may become, or Never.
	// +optional
	// +kubebuilder:default="720h"
	// +kubebuilder:validation:Pattern=`^(([0-9]+(s|m|h))+|Never)$`
	ExpireAfter Duration `json:"expireAfter,omitempty"`
}

// ResourceRequests are what a node must at least hold.
type ResourceRequests struct {
	// Requests by resource name: its pods' and its DaemonSets' together.
	// +optional
	Requests corev1.ResourceList `json:"requests,omitzero"`
}

// A NodeClaimStatus says how far the node has come.
type NodeClaimStatus struct {
	// NodeName is the Node that the machine joined as.
	// +optional
	NodeName string `json:"nodeName,omitempty"`
	// ProviderID names the machine as Node.spec.providerID does.
	// +optional
	ProviderID string `json:"providerID,omitempty"`
	// ImageID that the machine was started from.
	// +optional
	ImageID string `json:"imageID,omitempty"`
	// Capacity expected of the node until it reports its own.
	// +optional
	Capacity corev1.ResourceList `json:"capacity,omitzero"`
	// Allocatable is the part of Capacity that pods may use.
	// +optional
	Allocatable corev1.ResourceList `json:"allocatable,omitzero"`
	// Conditions: see the constants that begin with Condition.
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitzero"`
	// LastPodEventTime is when a pod last came to or left the node; consolidateAfter
	// counts from it.
	// +optional
	LastPodEventTime metav1.Time `json:"lastPodEventTime,omitzero"`
}

// A NodeClaimList is a list of NodeClaims.
// +kubebuilder:object:root=true
type NodeClaimList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	// Items of the list.
	Items []NodeClaim `json:"items"`
}
