package ec2sim

import (
	"encoding/binary"
	"net/netip"
)

// A wireZone is a zone as DescribeAvailabilityZones tells it.
type wireZone struct {
	State  string `xml:"zoneState"`
	OptIn  string `xml:"optInStatus"`
	Region string `xml:"regionName"`
	Name   string `xml:"zoneName"`
	ID     string `xml:"zoneId"`
	Kind   string `xml:"zoneType"`
}

// describeAvailabilityZones tells the zones by name or ID.
func (s *Server) describeAvailabilityZones(p params) (any, error) {
	var all []wireZone
	names, ids := p.list("ZoneName"), p.list("ZoneId")
	for _, z := range s.world.Zones {
		if (len(names) == 0 || matches([]string{z.Name}, names)) && (len(ids) == 0 || matches([]string{z.ID}, ids)) {
			all = append(all, wireZone{"available", "opt-in-not-required", s.opts.Region, z.Name, z.ID, "availability-zone"})
		}
	}
	if len(names) > 0 && len(all) == 0 {
		return nil, fail("InvalidParameterValue", "Invalid availability zone: [%s]", names[0])
	}
	all, err := filter(p, all, fields[wireZone]{
		"zone-name":     one(func(z wireZone) string { return z.Name }),
		"zone-id":       one(func(z wireZone) string { return z.ID }),
		"zone-type":     one(func(z wireZone) string { return z.Kind }),
		"region-name":   one(func(z wireZone) string { return z.Region }),
		"state":         one(func(z wireZone) string { return z.State }),
		"opt-in-status": one(func(z wireZone) string { return z.OptIn }),
	}, nil)
	return struct {
		Zones []wireZone `xml:"availabilityZoneInfo>item"`
	}{all}, err
}

// A wireSubnet is a subnet as DescribeSubnets tells it.
type wireSubnet struct {
	ZoneID string `xml:"availabilityZoneId"`
	Owner  string `xml:"ownerId"`
	Tags   []tag  `xml:"tagSet>item"`
	ID     string `xml:"subnetId"`
	State  string `xml:"state"`
	VPC    string `xml:"vpcId"`
	CIDR   string `xml:"cidrBlock"`
	Free   int    `xml:"availableIpAddressCount"`
	Zone   string `xml:"availabilityZone"`
	Public bool   `xml:"mapPublicIpOnLaunch"`
}

// subnetFields are the filters of DescribeSubnets that do not depend on the VPC.
var subnetFields = fields[Subnet]{
	"subnet-id":               one(func(n Subnet) string { return n.ID }),
	"availability-zone":       one(func(n Subnet) string { return n.Zone }),
	"cidr-block":              one(func(n Subnet) string { return n.CIDR.String() }),
	"state":                   one(func(Subnet) string { return "available" }),
	"map-public-ip-on-launch": flag(func(n Subnet) bool { return n.Public }),
}

// describeSubnets tells subnets, with the number of addresses that are free now.
func (s *Server) describeSubnets(p params) (any, error) {
	chosen, err := choose(p.list("SubnetId"), s.world.Subnets, func(n Subnet) string { return n.ID },
		"InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist")
	if err != nil {
		return nil, err
	}
	known := fields[Subnet]{"vpc-id": one(func(Subnet) string { return s.world.VPC })}
	for k, f := range subnetFields {
		known[k] = f
	}
	chosen, err = filter(p, chosen, known, func(n Subnet) map[string]string { return n.Tags })
	if err != nil {
		return nil, err
	}
	chosen, next, err := page(p, chosen, func(n Subnet) string { return n.ID }, bounds{5, 1000, 1000})
	if err != nil {
		return nil, err
	}
	out := struct {
		Subnets []wireSubnet `xml:"subnetSet>item"`
		Next    string       `xml:"nextToken,omitempty"`
	}{Next: next}
	for _, n := range chosen {
		z, _ := s.world.zone(n.Zone)
		out.Subnets = append(out.Subnets, wireSubnet{z.ID, s.opts.Account, tagSet(n.Tags), n.ID, "available", s.world.VPC,
			n.CIDR.String(), s.freeAddresses(n), n.Zone, n.Public})
	}
	return out, nil
}

// choose returns the items with the given IDs, or all if there are none given.
func choose[T any](ids []string, all []T, key func(T) string, code, message string) ([]T, error) {
	if len(ids) == 0 {
		return all, nil
	}
	byID := map[string]T{}
	for _, t := range all {
		byID[key(t)] = t
	}
	var out []T
	for _, id := range ids {
		t, ok := byID[id]
		// By ID a missing thing is an error, by filter it is an empty answer. Callers have to
		// know the two apart, so this does not soften the one.
		if !ok {
			return nil, fail(code, message, id)
		}
		out = append(out, t)
	}
	return out, nil
}

// addresses is how many addresses of n instances may have: all but the network's
// first four and its last.
func (n Subnet) addresses() int { return 1<<(32-n.CIDR.Bits()) - 5 }

// freeAddresses is what the living instances leave. The caller holds the lock.
func (s *Server) freeAddresses(n Subnet) int { return n.addresses() - len(s.addresses[n.ID]) }

// takeAddress gives out the next free address of n, going round, so that an
// address (and with it a node's name) rests before it comes again. The caller
// holds the lock.
func (s *Server) takeAddress(n Subnet) (string, bool) {
	used := s.addresses[n.ID]
	if used == nil {
		used = map[string]bool{}
		s.addresses[n.ID] = used
	}
	// The network itself, the router, the resolver and one in reserve come first.
	base := n.CIDR.Masked().Addr().As4()
	first := binary.BigEndian.Uint32(base[:]) + 4
	size := uint32(n.addresses())
	for i := range size {
		at := (s.cursor[n.ID] + i) % size
		var ip [4]byte
		binary.BigEndian.PutUint32(ip[:], first+at)
		if a := netip.AddrFrom4(ip).String(); !used[a] {
			used[a] = true
			s.cursor[n.ID] = at + 1
			return a, true
		}
	}
	return "", false
}

// A wireGroup is a security group as DescribeSecurityGroups tells it, without rules.
type wireGroup struct {
	ID          string `xml:"groupId"`
	Name        string `xml:"groupName"`
	Description string `xml:"groupDescription"`
	VPC         string `xml:"vpcId"`
	Owner       string `xml:"ownerId"`
	Tags        []tag  `xml:"tagSet>item"`
}

// describeSecurityGroups tells security groups by ID, by name and by filter.
func (s *Server) describeSecurityGroups(p params) (any, error) {
	chosen, err := choose(p.list("GroupId"), s.world.SecurityGroups, func(g SecurityGroup) string { return g.ID },
		"InvalidGroup.NotFound", "The security group '%s' does not exist")
	if err != nil {
		return nil, err
	}
	chosen, err = choose(p.list("GroupName"), chosen, func(g SecurityGroup) string { return g.Name },
		"InvalidGroup.NotFound", "The security group '%s' does not exist in default VPC")
	if err != nil {
		return nil, err
	}
	chosen, err = filter(p, chosen, fields[SecurityGroup]{
		"group-id":   one(func(g SecurityGroup) string { return g.ID }),
		"group-name": one(func(g SecurityGroup) string { return g.Name }),
		"vpc-id":     one(func(SecurityGroup) string { return s.world.VPC }),
	}, func(g SecurityGroup) map[string]string { return g.Tags })
	if err != nil {
		return nil, err
	}
	chosen, next, err := page(p, chosen, func(g SecurityGroup) string { return g.ID }, bounds{5, 1000, 1000})
	if err != nil {
		return nil, err
	}
	out := struct {
		Groups []wireGroup `xml:"securityGroupInfo>item"`
		Next   string      `xml:"nextToken,omitempty"`
	}{Next: next}
	for _, g := range chosen {
		out.Groups = append(out.Groups, wireGroup{g.ID, g.Name, "nodes of the cluster", s.world.VPC, s.opts.Account, tagSet(g.Tags)})
	}
	return out, nil
}
