package v1

import "cmp"

// SetDefaults fills what is unset, as the API server does from the CRD. Objects
// that were read from a server have it all; those from files have not.
func (c *EC2NodeClass) SetDefaults() {
	if c.Spec.MetadataOptions == nil {
		c.Spec.MetadataOptions = &MetadataOptions{}
	}
	m := c.Spec.MetadataOptions
	m.HTTPEndpoint = cmp.Or(m.HTTPEndpoint, "enabled")
	m.HTTPProtocolIPv6 = cmp.Or(m.HTTPProtocolIPv6, "disabled")
	m.HTTPTokens = cmp.Or(m.HTTPTokens, "required")
	if m.HTTPPutResponseHopLimit == nil {
		m.HTTPPutResponseHopLimit = new(int64(1))
	}
	for i := range c.Status.CapacityReservations {
		r := &c.Status.CapacityReservations[i]
		r.ReservationType = cmp.Or(r.ReservationType, "default")
		r.State = cmp.Or(r.State, "active")
	}
}
