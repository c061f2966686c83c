package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A Subnet that was found.
type Subnet struct {
	// ID of the subnet.
	// +required
	ID string `json:"id"`
	// Zone by name: us-east-1a.
	// +required
	Zone string `json:"zone"`
	// ZoneID is the zone's name across accounts: use1-az1.
	// +optional
	ZoneID string `json:"zoneID,omitempty"`
}

// A SecurityGroup that was found.
type SecurityGroup struct {
	// ID of the security group.
	// +required
	ID string `json:"id"`
	// Name of the security group.
	// +optional
	Name string `json:"name,omitempty"`
}

// An AMI that was found.
type AMI struct {
	// ID of the image.
	// +required
	ID string `json:"id"`
	// Deprecated by its owner; used only if nothing else suits.
	// +optional
	Deprecated bool `json:"deprecated,omitempty"`
	// Name of the image.
	// +optional
	Name string `json:"name,omitempty"`
	// Requirements that an instance type must meet for the image to run on it.
	// +required
	Requirements []corev1.NodeSelectorRequirement `json:"requirements"`
}

// The types and states of a CapacityReservation.
const (
	ReservationDefault  = "default"
	ReservationBlock    = "capacity-block"
	ReservationActive   = "active"
	ReservationExpiring = "expiring"
)

// A CapacityReservation that was found.
type CapacityReservation struct {
	// AvailabilityZone of the reserved machines.
	// +required
	AvailabilityZone string `json:"availabilityZone"`
	// EndTime after which the reservation is over. Unset: when it is cancelled.
	// +optional
	EndTime *metav1.Time `json:"endTime,omitempty"`
	// ID of the reservation.
	// +required
	// +kubebuilder:validation:Pattern:="^cr-[0-9a-z]+$"
	ID string `json:"id"`
	// InstanceMatchCriteria of the reservation.
	// +required
	InstanceMatchCriteria InstanceMatchCriteria `json:"instanceMatchCriteria"`
	// InstanceType of the reserved machines.
	// +required
	InstanceType string `json:"instanceType"`
	// Interruptible reservations may be taken back by their owner.
	// +optional
	Interruptible bool `json:"interruptible,omitempty"`
	// OwnerID is the account that owns the reservation.
	// +required
	// +kubebuilder:validation:Pattern:="^[0-9]{12}$"
	OwnerID string `json:"ownerID"`
	// ReservationType tells on-demand reservations from capacity blocks.
	// +optional
	// +kubebuilder:default=default
	// +kubebuilder:validation:Enum:={default,capacity-block}
	ReservationType string `json:"reservationType,omitempty"`
	// State is expiring when its machines are about to be taken back.
	// +optional
	// +kubebuilder:default=active
	// +kubebuilder:validation:Enum:={active,expiring}
	State string `json:"state,omitempty"`
}
