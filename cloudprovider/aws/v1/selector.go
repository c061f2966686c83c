package v1

// A SubnetSelectorTerm finds subnets by id, or by all of its tags.
type SubnetSelectorTerm struct {
	// Tags that the subnet carries; the value * stands for any.
	// +optional
	// +kubebuilder:validation:MaxProperties:=20
	// +kubebuilder:validation:XValidation:message="empty tag keys or values aren't supported",rule="self.all(k, k != '' && self[k] != '')"
	Tags map[string]string `json:"tags,omitzero"`
	// ID of the subnet.
	// +optional
	// +kubebuilder:validation:Pattern:="subnet-[0-9a-z]+"
	ID string `json:"id,omitempty"`
}

// A SecurityGroupSelectorTerm finds security groups by id, by name, or by all of
// its tags.
type SecurityGroupSelectorTerm struct {
	// Tags that the security group carries; the value * stands for any.
	// +optional
	// +kubebuilder:validation:MaxProperties:=20
	// +kubebuilder:validation:XValidation:message="empty tag keys or values aren't supported",rule="self.all(k, k != '' && self[k] != '')"
	Tags map[string]string `json:"tags,omitzero"`
	// ID of the security group.
	// +optional
	// +kubebuilder:validation:Pattern:="sg-[0-9a-z]+"
	ID string `json:"id,omitempty"`
	// Name of the security group: its GroupName, not its tag Name.
	// +optional
	Name string `json:"name,omitempty"`
}

// A CapacityReservationSelectorTerm finds capacity reservations by id, or by all
// of the rest.
type CapacityReservationSelectorTerm struct {
	// Tags that the reservation carries; the value * stands for any.
	// +optional
	// +kubebuilder:validation:MaxProperties:=20
	// +kubebuilder:validation:XValidation:message="empty tag keys or values aren't supported",rule="self.all(k, k != '' && self[k] != '')"
	Tags map[string]string `json:"tags,omitzero"`
	// ID of the reservation.
	// +optional
	// +kubebuilder:validation:Pattern:="^cr-[0-9a-z]+$"
	ID string `json:"id,omitempty"`
	// OwnerID is the account that owns the reservation.
	// +optional
	// +kubebuilder:validation:Pattern:="^[0-9]{12}$"
	OwnerID string `json:"ownerID,omitempty"`
	// InstanceMatchCriteria of the reservation.
	// +optional
	InstanceMatchCriteria InstanceMatchCriteria `json:"instanceMatchCriteria,omitempty"`
}

// InstanceMatchCriteria says which instances a reservation takes: any that fit
// it (open), or only those that name it (targeted).
// +kubebuilder:validation:Enum:={open,targeted}
type InstanceMatchCriteria string

// A PlacementGroupSelector names a placement group, by name or by id.
type PlacementGroupSelector struct {
	// Name of the placement group.
	// +optional
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name,omitempty"`
	// ID of the placement group.
	// +optional
	// +kubebuilder:validation:Pattern:="^pg-[0-9a-z]+$"
	ID string `json:"id,omitempty"`
}

// An AMISelectorTerm finds images: by alias or by id alone, or by tags, name and
// owner together, or by the SSM parameter that holds the id.
type AMISelectorTerm struct {
	// Alias is family@version: images that AWS publishes for the family. The
	// version latest follows them.
	// +optional
	// +kubebuilder:validation:MaxLength=30
	// +kubebuilder:validation:XValidation:message="'alias' is improperly formatted, must match the format 'family@version'",rule="self.matches('^[a-zA-Z0-9]+@.+$')"
	// +kubebuilder:validation:XValidation:message="family is not supported, must be one of the following: 'al2', 'al2023', 'bottlerocket', 'windows2019', 'windows2022', 'windows2025'",rule="self.split('@')[0] in ['al2','al2023','bottlerocket','windows2019','windows2022','windows2025']"
	// +kubebuilder:validation:XValidation:message="windows families may only specify version 'latest'",rule="self.split('@')[0] in ['windows2019','windows2022','windows2025'] ? self.split('@')[1] == 'latest' : true"
	Alias string `json:"alias,omitempty"`
	// Tags that the image carries; the value * stands for any.
	// +optional
	// +kubebuilder:validation:MaxProperties:=20
	// +kubebuilder:validation:XValidation:message="empty tag keys or values aren't supported",rule="self.all(k, k != '' && self[k] != '')"
	Tags map[string]string `json:"tags,omitzero"`
	// ID of the image.
	// +optional
	// +kubebuilder:validation:Pattern:="ami-[0-9a-z]+"
	ID string `json:"id,omitempty"`
	// Name of the image, not its tag Name; * and ? stand for other text.
	// +optional
	Name string `json:"name,omitempty"`
	// Owner is an account or self, amazon and the like. Unset: self and amazon.
	// +optional
	Owner string `json:"owner,omitempty"`
	// SSMParameter is the name or ARN of a parameter whose value is an image id.
	// +optional
	SSMParameter string `json:"ssmParameter,omitempty"`
}
