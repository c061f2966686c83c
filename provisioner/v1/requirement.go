package v1

import (
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// The operators of a Requirement that Kubernetes' own node selectors lack.
const (
	// OperatorGte: the label's value is an integer at least as large.
	OperatorGte corev1.NodeSelectorOperator = "Gte"
	// OperatorLte: the label's value is an integer at most as large.
	OperatorLte corev1.NodeSelectorOperator = "Lte"
)

// Operators are all that a Requirement may use.
var Operators = []corev1.NodeSelectorOperator{
	corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn, corev1.NodeSelectorOpExists, corev1.NodeSelectorOpDoesNotExist,
	corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt, OperatorGte, OperatorLte,
}

// A Requirement narrows which nodes may be bought, by one of their labels.
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
	// MinValues is how many different values of the label must stay possible in
	// what is bought, so that the cloud keeps a choice.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=50
	MinValues *int `json:"minValues,omitempty"`
}

// Allows reports whether a node meets r whose label r.Key has this value, or, if
// present is false, that does not have the label. A requirement that Validate
// refuses is met by none.
func (r *Requirement) Allows(value string, present bool) bool {
	switch r.Operator {
	case corev1.NodeSelectorOpIn:
		return present && slices.Contains(r.Values, value)
	case corev1.NodeSelectorOpNotIn:
		return !present || !slices.Contains(r.Values, value)
	case corev1.NodeSelectorOpExists:
		return present
	case corev1.NodeSelectorOpDoesNotExist:
		return !present
	}
	if !present || len(r.Values) != 1 {
		return false
	}
	is, err1 := strconv.ParseInt(value, 10, 64)
	bound, err2 := strconv.ParseInt(r.Values[0], 10, 64)
	if err1 != nil || err2 != nil {
		return false
	}
	switch r.Operator {
	case corev1.NodeSelectorOpGt:
		return is > bound
	case corev1.NodeSelectorOpLt:
		return is < bound
	case OperatorGte:
		return is >= bound
	case OperatorLte:
		return is <= bound
	}
	return false
}

// A NodeClassReference names the cloud's half of a node's description.
type NodeClassReference struct {
	// Group of the NodeClass's API, without version: karpenter.k8s.aws.
	// +required
	// +kubebuilder:validation:Pattern=`^[^/]*$`
	// +kubebuilder:validation:XValidation:rule="self != ''",message="group may not be empty"
	Group string `json:"group"`
	// Kind of the NodeClass: EC2NodeClass.
	// +required
	// +kubebuilder:validation:XValidation:rule="self != ''",message="kind may not be empty"
	Kind string `json:"kind"`
	// Name of the NodeClass.
	// +required
	// +kubebuilder:validation:XValidation:rule="self != ''",message="name may not be empty"
	Name string `json:"name"`
}
