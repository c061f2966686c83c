package ec2sim

import "slices"

// A networkInterface is one that a spec asks for.
type networkInterface struct {
	card, device int
	kind         string // "" is interface
	tracks       bool   // has timeouts of connection tracking
}

// readInterfaces reads the network interfaces of a spec, and refuses what EC2 refuses whatever the
// instance type. The primary one is of card 0 and device 0: its groups and subnet are the instance's.
func (sp *spec) readInterfaces(p params) error {
	all := p.each("NetworkInterface")
	if len(all) > 0 && len(sp.groups) > 0 {
		// Groups belong either to the instance or to its interfaces, which is why a product
		// that sets a public address moves them.
		return fail("InvalidParameterCombination", "Network interfaces and an instance-level security groups may not be specified on the same request")
	}
	seen, primary := map[[2]int]bool{}, false
	for _, n := range all {
		if n.str("DeviceIndex") == "" {
			return fail("MissingParameter", "Each network interface requires a device index.")
		}
		device, err := n.integer("DeviceIndex", 0)
		if err != nil {
			return err
		}
		card, err := n.integer("NetworkCardIndex", 0)
		if err != nil {
			return err
		}
		at := [2]int{card, device}
		if seen[at] {
			return fail("InvalidParameterValue", "Each network interface requires a unique device index of its network card.")
		}
		seen[at] = true
		if n.str("AssociatePublicIpAddress") != "" && len(all) > 1 {
			return fail("InvalidParameterCombination", "The associatePublicIPAddress parameter cannot be specified when launching with multiple network interfaces.")
		}
		i := networkInterface{card, device, n.str("InterfaceType"), n.sub("ConnectionTrackingSpecification").present()}
		if i.kind == "efa-only" && (n.str("Ipv4PrefixCount") != "" || card == 0 && device == 0) {
			return fail("InvalidParameterCombination", "A network interface of the type efa-only has no IP address, and cannot be the primary one.")
		}
		sp.interfaces = append(sp.interfaces, i)
		if card == 0 && device == 0 {
			primary = true
			sp.groups, sp.subnet = n.list("SecurityGroupId"), n.str("SubnetId")
		}
	}
	if len(all) > 0 && !primary {
		return fail("InvalidParameterValue", "There is no network interface of network card 0 and device 0.")
	}
	return nil
}

// carries checks whether a type has what the spec's interfaces and processor options ask for.
func (t InstanceType) carries(sp spec) error {
	efas, perCard := 0, make([]int, 1+len(t.MoreCards))
	for _, i := range sp.interfaces {
		if i.card < 0 || i.card >= len(perCard) {
			return fail("InvalidParameterValue", "Invalid network card index %d: %s has %d network card(s).", i.card, t.Name, len(perCard))
		}
		perCard[i.card]++
		if slices.Contains([]string{"efa", "efa-only"}, i.kind) {
			efas++
			if i.card == 0 && t.EFAs < len(perCard) { // the first card has none where there are too few
				return fail("InvalidParameterCombination", "EFA is not supported on network card 0 of %s.", t.Name)
			}
		}
		if i.tracks && t.Xen {
			return fail("InvalidParameterCombination", "Connection tracking timeouts cannot be set on %s, which is not built on Nitro.", t.Name)
		}
	}
	for card, n := range perCard {
		if most := append([]int{t.ENIs}, t.MoreCards...)[card]; n > most {
			return fail("AttachmentLimitExceeded", "Interface count %d of network card %d exceeds the limit of %s, %d.", n, card, t.Name, most)
		}
	}
	if efas > t.EFAs {
		return fail("AttachmentLimitExceeded", "EFA interface count %d exceeds the limit of %s, %d.", efas, t.Name, t.EFAs)
	}
	if sp.enclaves && !t.Enclaves {
		return fail("Unsupported", "Nitro Enclaves are not supported on %s.", t.Name)
	}
	if sp.nested && !t.Nested {
		return fail("InvalidParameterCombination", "Nested virtualization is not supported on %s.", t.Name)
	}
	return nil
}
