package v1

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
)

// Hash identifies the part of the spec that machines are started with: a node
// that was made under another hash has drifted. Selectors are not in it, since
// what they find is compared instead: a node drifts when its image, subnet,
// security groups, reservation or placement group are no longer among that.
//
// It does not depend on the order of disks, interfaces or keys, on whether a
// default is written out, or on whether the family is named or follows from the
// alias. Its version is HashVersion, which changes whenever this function gives
// another answer.
func (c *EC2NodeClass) Hash() string {
	c = c.DeepCopy()
	c.SetDefaults()
	s := &c.Spec
	s.AMIFamily = s.Family()
	s.SubnetSelectorTerms = nil
	s.SecurityGroupSelectorTerms = nil
	s.CapacityReservationSelectorTerms = nil
	s.PlacementGroupSelector = nil
	s.AMISelectorTerms = nil
	slices.SortStableFunc(s.BlockDeviceMappings, func(a, b BlockDeviceMapping) int {
		return cmp.Compare(a.DeviceName, b.DeviceName)
	})
	slices.SortStableFunc(s.NetworkInterfaces, func(a, b NetworkInterface) int {
		return cmp.Or(cmp.Compare(a.NetworkCardIndex, b.NetworkCardIndex), cmp.Compare(a.DeviceIndex, b.DeviceIndex))
	})
	sum := sha256.Sum256(canonical(s))
	return hex.EncodeToString(sum[:8])
}

// canonical is the spec as JSON with sorted keys throughout: kubelet's part is
// kept as the user wrote it, and is decoded for that. Text there that is no JSON
// cannot come from an API server; it is hashed as it stands.
func canonical(s *EC2NodeClassSpec) []byte {
	kubelet := map[string]any{}
	for key, raw := range s.Kubelet {
		var value any
		if err := json.Unmarshal(raw.Raw, &value); err != nil {
			value = string(raw.Raw)
		}
		kubelet[key] = value
	}
	rest := *s
	rest.Kubelet = nil
	data, err := json.Marshal([]any{rest, kubelet})
	if err != nil { // plain values and decoded JSON always encode
		panic(err)
	}
	return data
}
