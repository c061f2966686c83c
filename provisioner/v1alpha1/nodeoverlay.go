package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A NodeOverlay changes what decisions take the price and the extended resources
// of some offerings to be. Its conditions are ValidationSucceeded and Ready; one
// that is not Ready is not applied.
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=nodeoverlays,scope=Cluster,categories=karpenter,shortName={overlays}
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Ready",type="string",JSONPath=".status.conditions[?(@.type==\"Ready\")].status",description=""
// +kubebuilder:printcolumn:name="Age",type="date",JSONPath=".metadata.creationTimestamp",description=""
// +kubebuilder:printcolumn:name="Weight",type="integer",JSONPath=".spec.weight",priority=1,description=""
type NodeOverlay struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what the user asks for.
	// +required
	// +kubebuilder:validation:XValidation:message="cannot set both 'price' and 'priceAdjustment'",rule="!has(self.price) || !has(self.priceAdjustment)"
	Spec NodeOverlaySpec `json:"spec"`
	// Status says whether it is applied.
	// +optional
	Status NodeOverlayStatus `json:"status,omitzero"`
}

// A NodeOverlaySpec says which offerings are meant, and what is different there.
type NodeOverlaySpec struct {
	// Requirements on the labels of a node to be: those of its NodePool, its instance
	// type and its offering. The overlay is for offerings that meet all of them.
	// +required
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:XValidation:message="requirements with operator 'NotIn' must have a value defined",rule="self.all(x, x.operator == 'NotIn' ? x.values.size() != 0 : true)"
	// +kubebuilder:validation:XValidation:message="requirements with operator 'In' must have a value defined",rule="self.all(x, x.operator == 'In' ? x.values.size() != 0 : true)"
	// +kubebuilder:validation:XValidation:message="requirements operator 'Gt', 'Lt', 'Gte' or 'Lte' must have a single positive integer value",rule="self.all(x, (x.operator == 'Gt' || x.operator == 'Lt' || x.operator == 'Gte' || x.operator == 'Lte') ? (x.values.size() == 1 && int(x.values[0]) >= 0) : true)"
	Requirements []Requirement `json:"requirements"`
	// PriceAdjustment changes the price by an amount in dollars per hour, or by a
	// percentage, with a sign: "+0.1", "-10%". No price falls below 0.
	// +optional
	// +kubebuilder:validation:Pattern=`^(([+-]{1}(\d*\.?\d+))|(\+{1}\d*\.?\d+%)|(^(-\d{1,2}(\.\d+)?%)$)|(-100%))$`
	PriceAdjustment *string `json:"priceAdjustment,omitempty"`
	// Price in dollars per hour takes the place of the cloud's.
	// +optional
	// +kubebuilder:validation:Pattern=`^\d+(\.\d+)?$`
	Price *string `json:"price,omitempty"`
	// Capacity lists extended resources that the nodes have; what the cloud knows of
	// the same resource is replaced.
	// +optional
	// +kubebuilder:validation:XValidation:message="invalid resource restricted",rule="self.all(x, !(x in ['cpu', 'memory', 'ephemeral-storage', 'pods']))"
	Capacity corev1.ResourceList `json:"capacity,omitzero"`
	// Weight decides between overlays for the same offering: the heaviest, and of
	// equals the one whose name is last in the alphabet. Unset counts as 0.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	Weight *int32 `json:"weight,omitempty"`
}

// A Requirement narrows the offerings that an overlay is for, by a label.
type Requirement struct {
	// Key of the label.
	// +required
	// +kubebuilder:validation:MaxLength=316
	// +kubebuilder:validation:Pattern=`^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*(\/))?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$`
	// +kubebuilder:validation:XValidation:message="label domain \"karpenter.sh\" is restricted",rule="self in [\"karpenter.sh/capacity-type\", \"karpenter.sh/nodepool\"] || !self.find(\"^([^/]+)\").endsWith(\"karpenter.sh\")"
	// +kubebuilder:validation:XValidation:message="label \"kubernetes.io/hostname\" is restricted",rule="self != \"kubernetes.io/hostname\""
	Key string `json:"key"`
	// Operator relates the label to the values: In, NotIn, Exists, DoesNotExist,
	// Gt, Lt, Gte or Lte.
	// +required
	// +kubebuilder:validation:Enum=In;NotIn;Exists;DoesNotExist;Gt;Lt;Gte;Lte
	Operator corev1.NodeSelectorOperator `json:"operator"`
	// Values that the operator works on: some for In and NotIn, none for Exists
	// and DoesNotExist, one non-negative integer for Gt, Lt, Gte and Lte.
	// +optional
	Values []string `json:"values,omitzero"`
}

// A NodeOverlayStatus says whether an overlay is applied.
type NodeOverlayStatus struct {
	// Conditions: ValidationSucceeded, and Ready which follows it.
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitzero"`
}

// Reasons why an overlay is not applied, of both conditions.
const (
	// ReasonRuntimeValidation: a field says what cannot be.
	ReasonRuntimeValidation = "RuntimeValidation"
	// ReasonConflict: an overlay of the same weight that comes first says something
	// else about the same offering.
	ReasonConflict = "Conflict"
)

// A NodeOverlayList is a list of NodeOverlays.
// +kubebuilder:object:root=true
type NodeOverlayList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	// Items of the list.
	Items []NodeOverlay `json:"items"`
}
