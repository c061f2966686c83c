package ec2sim

import (
	"slices"
	"strconv"
	"strings"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// A PlacementGroup says how instances stand among the hardware.
type PlacementGroup struct {
	ID, Name string
	// Strategy is cluster, spread or partition.
	Strategy string
	// Partitions of a partition group.
	Partitions int
	// State is "available" where it is empty.
	State string
}

// Group adds a placement group.
func (s *Server) Group(g PlacementGroup) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.world.PlacementGroups = append(slices.Clone(s.world.PlacementGroups), g)
}

// maxDedicatedPartitions is how many partitions a group of dedicated instances may have.
const maxDedicatedPartitions = 2

// spreadLimit is how many instances a spread group takes in a zone.
const spreadLimit = 7

// placementStrategies are the groups that a type can be in: burstable and flex types are in no
// cluster.
func placementStrategies(t InstanceType) []string {
	family, _, _ := strings.Cut(t.Name, ".")
	if t.Burstable || strings.Contains(family, "-flex") {
		return []string{"partition", "spread"}
	}
	return []string{"cluster", "partition", "spread"}
}

// readPlacement reads into which group, and which partition of it, a spec goes, and whether alone.
func (sp *spec) readPlacement(p params) (err error) {
	sp.group = p.str("GroupId")
	if name := p.str("GroupName"); name != "" {
		return fail("UnsupportedOperation", "A placement group by its name (%s) is not simulated; name its ID", name)
	}
	switch tenancy := p.str("Tenancy"); tenancy {
	case "", "default":
	case cloudprovider.Dedicated:
		sp.tenancy = tenancy
	default:
		return fail("UnsupportedOperation", "The tenancy %q is not simulated", tenancy)
	}
	sp.partition, err = p.integer("PartitionNumber", 0)
	if err == nil && sp.partition != 0 && sp.group == "" {
		err = fail("InvalidParameterCombination", "A partition number needs a placement group")
	}
	return err
}

// checkTenancy refuses what EC2 does not have on dedicated hardware: some types, spread groups, and
// partition groups of more than two partitions.
func (s *Server) checkTenancy(sp spec, kind InstanceType) error {
	if sp.tenancy == "" {
		return nil
	}
	crowded := slices.ContainsFunc(s.world.PlacementGroups, func(g PlacementGroup) bool {
		return g.ID == sp.group && (g.Strategy == "spread" || g.Partitions > maxDedicatedPartitions)
	})
	if crowded || !kind.standsAlone() {
		return fail("Unsupported", "The requested configuration is currently not supported. Please check the documentation for supported configurations.")
	}
	return nil
}

// placed finds the place of a launch in the spec's placement group: its name as in
// Offering.Placement. EC2 chooses the partition where none is named: the emptiest. The caller
// holds the lock.
func (s *Server) placed(sp spec, kind InstanceType, zone string) (string, error) {
	if sp.group == "" {
		return "", nil
	}
	at := slices.IndexFunc(s.world.PlacementGroups, func(g PlacementGroup) bool { return g.ID == sp.group })
	if at < 0 {
		return "", fail("InvalidPlacementGroup.Unknown", "The Placement Group '%s' is unknown.", sp.group)
	}
	g := s.world.PlacementGroups[at]
	if !slices.Contains(placementStrategies(kind), g.Strategy) {
		return "", fail("InvalidParameterCombination", "Instances of type '%s' may not be placed in a placement group of the strategy '%s'.", kind.Name, g.Strategy)
	}
	inZone, elsewhere, partitions := 0, 0, make([]int, g.Partitions+1)
	for _, i := range s.instances {
		group, number, _ := strings.Cut(i.offering.Placement, ":")
		switch {
		case group != g.ID || i.state == Terminated:
			continue
		case i.offering.Zone == zone:
			inZone++
		default:
			elsewhere++
		}
		if n, err := strconv.Atoi(number); err == nil && n < len(partitions) {
			partitions[n]++
		}
	}
	switch g.Strategy {
	case "cluster":
		if elsewhere > 0 {
			return "", fail("InsufficientInstanceCapacity", "The placement group '%s' has instances in another Availability Zone than %s.", g.Name, zone)
		}
		return g.ID, nil
	case "spread":
		if inZone >= spreadLimit {
			return "", fail("UnfulfillableCapacity", "You've reached the limit of instances in this spread placement group. A spread placement group can have up to seven instances per Availability Zone.")
		}
		return g.ID, nil
	}
	partition := sp.partition
	if partition < 0 || partition > g.Partitions {
		return "", fail("InvalidParameterValue", "The partition number %d is not in the placement group '%s', which has %d.", partition, g.Name, g.Partitions)
	}
	if partition == 0 {
		partition = 1
		for n := 2; n <= g.Partitions; n++ {
			if partitions[n] < partitions[partition] {
				partition = n
			}
		}
	}
	return g.ID + ":" + strconv.Itoa(partition), nil
}

// wirePlacement tells where an instance stands.
func (s *Server) wirePlacement(i *instance, zone Zone) wirePlacement {
	w := wirePlacement{Zone: zone.Name, ZoneID: zone.ID, Tenancy: "default"}
	group, number, _ := strings.Cut(i.offering.Placement, ":")
	w.Group = group
	if i.offering.Tenancy != "" {
		w.Tenancy = i.offering.Tenancy
	}
	w.Partition, _ = strconv.Atoi(number) // "" is 0, which is not told
	return w
}

// The wire form of a placement group.
type wirePlacementGroup struct {
	ID         string `xml:"groupId"`
	Name       string `xml:"groupName"`
	Strategy   string `xml:"strategy"`
	State      string `xml:"state"`
	Partitions int    `xml:"partitionCount,omitempty"`
}

// describePlacementGroups tells groups by name or ID: to ask for one that is not there is an
// error.
func (s *Server) describePlacementGroups(p params) (any, error) {
	chosen, err := choose(p.list("GroupId"), s.world.PlacementGroups, func(g PlacementGroup) string { return g.ID },
		"InvalidPlacementGroup.Unknown", "The Placement Group '%s' is unknown.")
	if err != nil {
		return nil, err
	}
	chosen, err = choose(p.list("GroupName"), chosen, func(g PlacementGroup) string { return g.Name },
		"InvalidPlacementGroup.Unknown", "The Placement Group '%s' is unknown.")
	if err != nil {
		return nil, err
	}
	out := struct {
		Groups []wirePlacementGroup `xml:"placementGroupSet>item"`
	}{}
	for _, g := range chosen {
		state := g.State
		if state == "" {
			state = "available"
		}
		out.Groups = append(out.Groups, wirePlacementGroup{g.ID, g.Name, g.Strategy, state, g.Partitions})
	}
	return out, nil
}
