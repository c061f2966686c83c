package v1beta1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A CapacityBuffer asks for room in the cluster that is kept free, so that pods to come need not
// wait for a node. The room is measured in pods like those of a template.
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=capacitybuffers,scope=Namespaced,categories=autoscaling,shortName={cb}
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Strategy",type="string",JSONPath=".spec.provisioningStrategy",description=""
// +kubebuilder:printcolumn:name="PodTemplate",type="string",JSONPath=".status.podTemplateRef.name",description=""
// +kubebuilder:printcolumn:name="Replicas",type="integer",JSONPath=".status.replicas",description=""
// +kubebuilder:printcolumn:name="ConditionsType",type="string",JSONPath=".status.conditions[*].type",description=""
// +kubebuilder:printcolumn:name="ConditionsStatus",type="string",JSONPath=".status.conditions[*].status",description=""
// +kubebuilder:printcolumn:name="ConditionsReason",type="string",JSONPath=".status.conditions[*].reason",description=""
// +kubebuilder:printcolumn:name="Age",type="date",JSONPath=".metadata.creationTimestamp",description=""
type CapacityBuffer struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what the user asks for.
	// +required
	// +kubebuilder:validation:XValidation:message="If podTemplateRef is set, replicas or limits must also be set",rule="!has(self.podTemplateRef) || has(self.replicas) || has(self.limits)"
	// +kubebuilder:validation:XValidation:message="You must define either PodTemplateRef or ScalableRef, but not both",rule="!(has(self.podTemplateRef) && has(self.scalableRef))"
	Spec CapacityBufferSpec `json:"spec"`
	// Status says what the buffer comes to, and whether the room is there.
	// +optional
	Status CapacityBufferStatus `json:"status,omitzero"`
}

// A CapacityBufferSpec says what one pod of the room is like, and for how many there is to be
// room: the larger of Replicas and Percentage, as far as Limits allow; or as many as Limits allow.
type CapacityBufferSpec struct {
	// ProvisioningStrategy says how the room is kept; see ActiveCapacity.
	// +optional
	// +kubebuilder:default="buffer.x-k8s.io/active-capacity"
	ProvisioningStrategy *string `json:"provisioningStrategy,omitempty"`
	// PodTemplateRef names a PodTemplate of the namespace that the pods are like.
	// +optional
	PodTemplateRef *LocalObjectRef `json:"podTemplateRef,omitempty"`
	// ScalableRef names a workload of the namespace whose pods they are like.
	// +optional
	ScalableRef *ScalableRef `json:"scalableRef,omitempty"`
	// Replicas is a number of pods.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Replicas *int32 `json:"replicas,omitempty"`
	// Percentage is a number of pods as a share of those that the workload of ScalableRef asks
	// for, rounded up.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Percentage *int32 `json:"percentage,omitempty"`
	// Limits are the most that all the pods may ask for together.
	// +optional
	Limits corev1.ResourceList `json:"limits,omitzero"`
}

// ActiveCapacity is the one strategy that Stowage knows: the room is free on nodes that run. A
// buffer without a strategy has this one.
const ActiveCapacity = "buffer.x-k8s.io/active-capacity"

// SetDefaults fills in what the API server does.
func (b *CapacityBuffer) SetDefaults() {
	if b.Spec.ProvisioningStrategy == nil {
		b.Spec.ProvisioningStrategy = new(ActiveCapacity)
	}
}

// Strategy is the buffer's strategy. An empty name is the default, too.
func (b *CapacityBuffer) Strategy() string {
	if b.Spec.ProvisioningStrategy == nil || *b.Spec.ProvisioningStrategy == "" {
		return ActiveCapacity
	}
	return *b.Spec.ProvisioningStrategy
}

// A LocalObjectRef names an object of the buffer's namespace.
type LocalObjectRef struct {
	// Name of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
}

// A ScalableRef names a workload of the buffer's namespace: a Deployment, StatefulSet or
// ReplicaSet of group apps.
type ScalableRef struct {
	// APIGroup of the workload; empty for apps.
	// +optional
	APIGroup string `json:"apiGroup,omitempty"`
	// Kind of the workload.
	// +required
	// +kubebuilder:validation:MinLength=1
	Kind string `json:"kind"`
	// Name of the workload.
	// +required
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
}

// A CapacityBufferStatus says what a buffer comes to.
type CapacityBufferStatus struct {
	// PodTemplateRef is the PodTemplate that is used; unset where the pods are like those of a
	// workload.
	// +optional
	PodTemplateRef *LocalObjectRef `json:"podTemplateRef,omitempty"`
	// PodTemplateGeneration is the generation of that PodTemplate.
	// +optional
	PodTemplateGeneration *int64 `json:"podTemplateGeneration,omitempty"`
	// Replicas is for how many pods room is kept.
	// +optional
	Replicas *int32 `json:"replicas,omitempty"`
	// ProvisioningStrategy is the strategy that is followed.
	// +optional
	ProvisioningStrategy *string `json:"provisioningStrategy,omitempty"`
	// Conditions: ReadyForProvisioning, Provisioning and LimitedByQuotas.
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitzero"`
}

// Types of conditions.
const (
	// ConditionReadyForProvisioning: it is known what the pods are like and how many they are.
	ConditionReadyForProvisioning = "ReadyForProvisioning"
	// ConditionProvisioning: there is room for all of them.
	ConditionProvisioning = "Provisioning"
	// ConditionLimitedByQuotas: ResourceQuotas of the namespace would not let all of them in.
	ConditionLimitedByQuotas = "LimitedByQuotas"
)

// Reasons of ConditionReadyForProvisioning.
const (
	ReasonResolved            = "Resolved"            // it is so
	ReasonPodTemplateNotFound = "PodTemplateNotFound" // there is no PodTemplate of that name
	ReasonScalableRefNotFound = "ScalableRefNotFound" // there is no workload of that name
	ReasonResolutionFailed    = "ResolutionFailed"    // the message says what is wrong with the spec
	ReasonUnknownStrategy     = "UnknownStrategy"     // Stowage leaves the buffer to others
)

// Reasons of ConditionProvisioning.
const (
	ReasonFitsExistingCapacity    = "FitsExistingCapacity"    // it is so
	ReasonRequiresNewCapacity     = "RequiresNewCapacity"     // nodes are on their way, or the message says why not
	ReasonNotReadyForProvisioning = "NotReadyForProvisioning" // see the other condition
	ReasonBufferEmpty             = "BufferEmpty"             // room for no pod is asked for
)

// Reasons of ConditionLimitedByQuotas.
const (
	ReasonLimitedByQuotas = "LimitedByQuotas" // it is so
	ReasonWithinQuotas    = "WithinQuotas"    // it is not
)

// A CapacityBufferList is a list of CapacityBuffers.
// +kubebuilder:object:root=true
type CapacityBufferList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	// Items of the list.
	Items []CapacityBuffer `json:"items"`
}
