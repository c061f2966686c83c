package v1

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"
)

// A BlockDeviceMapping is one disk of the machine.
type BlockDeviceMapping struct {
	// DeviceName as the image knows it: /dev/xvda.
	// +optional
	DeviceName string `json:"deviceName,omitempty"`
	// EBS volume behind the device.
	// +optional
	// +kubebuilder:validation:XValidation:message="snapshotID or volumeSize must be defined",rule="has(self.snapshotID) || has(self.volumeSize)"
	// +kubebuilder:validation:XValidation:message="snapshotID must be set when volumeInitializationRate is set",rule="!has(self.volumeInitializationRate) || (has(self.snapshotID) && self.snapshotID != '')"
	EBS *BlockDevice `json:"ebs,omitempty"`
	// RootVolume marks the disk that pods' ephemeral storage comes from.
	// +optional
	RootVolume bool `json:"rootVolume,omitempty"`
}

// A BlockDevice is an EBS volume. What is unset is as EC2 or the image has it.
type BlockDevice struct {
	// DeleteOnTermination says whether the volume goes with the machine.
	// +optional
	DeleteOnTermination *bool `json:"deleteOnTermination,omitempty"`
	// Encrypted says whether the volume is.
	// +optional
	Encrypted *bool `json:"encrypted,omitempty"`
	// IOPS that the volume is provisioned for.
	// +optional
	IOPS *int64 `json:"iops,omitempty"`
	// KMSKeyID is the key that the volume is encrypted with.
	// +optional
	KMSKeyID string `json:"kmsKeyID,omitempty"`
	// SnapshotID that the volume is made from.
	// +optional
	SnapshotID string `json:"snapshotID,omitempty"`
	// Throughput in MiB/s; gp3 only.
	// +optional
	Throughput *int64 `json:"throughput,omitempty"`
	// VolumeInitializationRate is how fast a snapshot is read, in MiB/s.
	// +optional
	// +kubebuilder:validation:Minimum=100
	// +kubebuilder:validation:Maximum=300
	VolumeInitializationRate *int32 `json:"volumeInitializationRate,omitempty"`
	// VolumeSize is a quantity in Gi, G, Ti or T. See VolumeGiB.
	// +optional
	// +kubebuilder:validation:Pattern:="^((?:[1-9][0-9]{0,3}|[1-4][0-9]{4}|[5][0-8][0-9]{3}|59000)Gi|(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|[6][0-3][0-9]{3}|64000)G|([1-9]||[1-5][0-7]|58)Ti|([1-9]||[1-5][0-9]|6[0-3]|64)T)$"
	VolumeSize string `json:"volumeSize,omitempty"`
	// VolumeType of the volume.
	// +optional
	// +kubebuilder:validation:Enum:={standard,io1,io2,gp2,sc1,st1,gp3}
	VolumeType string `json:"volumeType,omitempty"`
}

// VolumeGiB is VolumeSize in whole GiB, rounded up, as EC2 counts; 0 if unset.
func (b *BlockDevice) VolumeGiB() (int64, error) {
	if b.VolumeSize == "" {
		return 0, nil
	}
	q, err := resource.ParseQuantity(b.VolumeSize)
	if err != nil {
		return 0, fmt.Errorf("reading volumeSize %q: %w", b.VolumeSize, err)
	}
	if q.Sign() <= 0 { // the CRD's pattern and the parser both let "Ti" pass
		return 0, fmt.Errorf("reading volumeSize %q: no size", b.VolumeSize)
	}
	return (q.Value() + 1<<30 - 1) >> 30, nil
}

// InstanceStorePolicy says what becomes of disks that are part of the machine.
// +kubebuilder:validation:Enum={RAID0}
type InstanceStorePolicy string

// InstanceStoreRAID0 makes one striped volume of them and puts pods' ephemeral
// storage on it.
const InstanceStoreRAID0 InstanceStorePolicy = "RAID0"

// A NetworkInterface is one network interface that the machine starts with.
type NetworkInterface struct {
	// NetworkCardIndex of the card that the interface is on.
	// +required
	// +kubebuilder:validation:Minimum=0
	NetworkCardIndex int32 `json:"networkCardIndex"`
	// DeviceIndex of the interface on its card.
	// +required
	// +kubebuilder:validation:Minimum=0
	DeviceIndex int32 `json:"deviceIndex"`
	// InterfaceType is interface, or efa-only for one without IP.
	// +required
	InterfaceType InterfaceType `json:"interfaceType"`
}

// InterfaceType is the type of a network interface.
// +kubebuilder:validation:Enum:={interface,efa-only}
type InterfaceType string

// The types of network interfaces.
const (
	InterfaceTypeInterface InterfaceType = "interface"
	InterfaceTypeEFAOnly   InterfaceType = "efa-only"
)

// ConnectionTracking sets when idle connections are forgotten, in seconds.
type ConnectionTracking struct {
	// TCPEstablishedTimeout of established TCP connections.
	// +optional
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=432000
	TCPEstablishedTimeout *int32 `json:"tcpEstablishedTimeout,omitempty"`
	// UDPStreamTimeout of UDP flows with traffic both ways.
	// +optional
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=180
	UDPStreamTimeout *int32 `json:"udpStreamTimeout,omitempty"`
	// UDPTimeout of UDP flows with traffic one way.
	// +optional
	// +kubebuilder:validation:Minimum=30
	// +kubebuilder:validation:Maximum=60
	UDPTimeout *int32 `json:"udpTimeout,omitempty"`
}

// CPUOptions of a machine.
type CPUOptions struct {
	// NestedVirtualization lets the machine run machines.
	// +optional
	// +kubebuilder:validation:Enum:={enabled,disabled}
	NestedVirtualization string `json:"nestedVirtualization,omitempty"`
}

// MetadataOptions of a machine's metadata service.
type MetadataOptions struct {
	// HTTPEndpoint turns the service on.
	// +optional
	// +kubebuilder:default=enabled
	// +kubebuilder:validation:Enum:={enabled,disabled}
	HTTPEndpoint string `json:"httpEndpoint,omitempty"`
	// HTTPProtocolIPv6 turns its IPv6 address on.
	// +optional
	// +kubebuilder:default=disabled
	// +kubebuilder:validation:Enum:={enabled,disabled}
	HTTPProtocolIPv6 string `json:"httpProtocolIPv6,omitempty"`
	// HTTPPutResponseHopLimit is how far its answers travel; with 1, pods without
	// host network do not get any.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	HTTPPutResponseHopLimit *int64 `json:"httpPutResponseHopLimit,omitempty"`
	// HTTPTokens says whether a session token (IMDSv2) is required.
	// +optional
	// +kubebuilder:default=required
	// +kubebuilder:validation:Enum:={required,optional}
	HTTPTokens string `json:"httpTokens,omitempty"`
}
