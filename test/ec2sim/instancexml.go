package ec2sim

import "cmp"

// The wire forms of DescribeInstances and DescribeInstanceStatus.
type (
	wireReservation struct {
		ID        string         `xml:"reservationId"`
		Owner     string         `xml:"ownerId"`
		Instances []wireInstance `xml:"instancesSet>item"`
	}
	wireInstance struct {
		ID          string         `xml:"instanceId"`
		Image       string         `xml:"imageId"`
		State       wireState      `xml:"instanceState"`
		DNS         string         `xml:"privateDnsName"`
		Reason      string         `xml:"reason"`
		StateReason *wireReason    `xml:"stateReason"`
		Index       int            `xml:"amiLaunchIndex"`
		Type        string         `xml:"instanceType"`
		Launched    string         `xml:"launchTime"`
		Placement   wirePlacement  `xml:"placement"`
		Subnet      string         `xml:"subnetId,omitempty"`
		VPC         string         `xml:"vpcId,omitempty"`
		IP          string         `xml:"privateIpAddress,omitempty"`
		Arch        string         `xml:"architecture"`
		Token       string         `xml:"clientToken,omitempty"`
		Lifecycle   string         `xml:"instanceLifecycle,omitempty"`
		Profile     *wireProfile   `xml:"iamInstanceProfile"`
		Groups      []wireGroupRef `xml:"groupSet>item"`
		Tags        []tag          `xml:"tagSet>item"`
		Hypervisor  string         `xml:"hypervisor"`
		RootName    string         `xml:"rootDeviceName"`
		RootKind    string         `xml:"rootDeviceType"`
		Tokens      string         `xml:"metadataOptions>httpTokens,omitempty"`
		Hops        string         `xml:"metadataOptions>httpPutResponseHopLimit,omitempty"`
		Enclaves    bool           `xml:"enclaveOptions>enabled"`
		Within      string         `xml:"capacityReservationId,omitempty"`
		Preference  string         `xml:"capacityReservationSpecification>capacityReservationPreference,omitempty"`
		Target      string         `xml:"capacityReservationSpecification>capacityReservationTarget>capacityReservationId,omitempty"`
	}
	wireReason struct {
		Code    string `xml:"code"`
		Message string `xml:"message"`
	}
	wirePlacement struct {
		Zone    string `xml:"availabilityZone"`
		ZoneID  string `xml:"availabilityZoneId"`
		Tenancy string `xml:"tenancy"`
		Group   string `xml:"groupId,omitempty"`
		// Partition is 0 outside of a partition group.
		Partition int `xml:"partitionNumber,omitempty"`
	}
	wireProfile struct {
		ARN string `xml:"arn"`
		ID  string `xml:"id"`
	}
	wireGroupRef struct {
		ID   string `xml:"groupId"`
		Name string `xml:"groupName"`
	}
	wireStatus struct {
		Zone     string      `xml:"availabilityZone"`
		ID       string      `xml:"instanceId"`
		State    wireState   `xml:"instanceState"`
		Instance wireCheck   `xml:"instanceStatus"`
		System   wireCheck   `xml:"systemStatus"`
		Events   []wireEvent `xml:"eventsSet>item,omitempty"`
	}
	wireEvent struct {
		Code   string `xml:"code"`
		Text   string `xml:"description"`
		Begins string `xml:"notBefore"`
	}
	wireCheck struct {
		Status  string       `xml:"status"`
		Details []wireDetail `xml:"details>item"`
	}
	wireDetail struct {
		Name   string `xml:"name"`
		Status string `xml:"status"`
		Since  string `xml:"impairedSince,omitempty"`
	}
)

// wireInstance spells an instance. A terminated one has lost its address, its
// subnet and its groups, as in life.
func (s *Server) wireInstance(i *instance) wireInstance {
	zone, _ := s.world.zone(i.offering.Zone)
	w := wireInstance{
		ID: i.id, Image: i.image.ID, State: stateOf(i.state), Reason: i.reason, Type: i.offering.InstanceType, Launched: stamp(i.launched),
		Placement: s.wirePlacement(i, zone), Arch: wireArch(i.kind.Arch), Token: i.token, Lifecycle: i.lifecycle(),
		Tags: tagSet(i.tags), Hypervisor: cmp.Or(i.kind.hypervisor(), "nitro"), RootName: i.image.root(), RootKind: "ebs",
		Tokens: i.spec.tokens, Hops: i.spec.hopLimit,
		Enclaves: i.spec.enclaves, Within: i.within, Preference: cmp.Or(i.spec.preference, "open"), Target: i.spec.target,
	}
	if i.reasonCode != "" {
		w.StateReason = &wireReason{i.reasonCode, i.reason}
	}
	// A caller that knows its nodes by address or name loses them here, and must have
	// written the instance's ID down before.
	if i.state == Terminated {
		return w
	}
	w.DNS, w.IP, w.Subnet, w.VPC = i.dns, i.ip, i.subnet.ID, s.world.VPC
	if p := s.profiles[i.spec.profile]; p != nil {
		w.Profile = &wireProfile{p.arn(s.opts.Account), p.ID}
	}
	for _, id := range i.spec.groups {
		for _, g := range s.world.SecurityGroups {
			if g.ID == id {
				w.Groups = append(w.Groups, wireGroupRef{g.ID, g.Name})
			}
		}
	}
	return w
}

// statusFields are the filters of DescribeInstanceStatus that are understood.
var statusFields = fields[wireStatus]{
	"instance-status.status": one(func(w wireStatus) string { return w.Instance.Status }),
	"system-status.status":   one(func(w wireStatus) string { return w.System.Status }),
	"event.code": func(w wireStatus) (codes []string) {
		for _, e := range w.Events {
			codes = append(codes, e.Code)
		}
		return codes
	},
}

// describeInstanceStatus tells of running instances, or of all when asked to.
func (s *Server) describeInstanceStatus(p params) (any, error) {
	instances, err := s.named(p)
	if err != nil {
		return nil, err
	}
	var all []wireStatus
	for _, i := range instances {
		if i.state == Running || p.boolean("IncludeAllInstances") {
			all = append(all, s.wireStatus(i))
		}
	}
	if all, err = filter(p, all, statusFields, nil); err != nil {
		return nil, err
	}
	all, next, err := page(p, all, func(w wireStatus) string { return w.ID }, bounds{5, 1000, 1000})
	if err != nil {
		return nil, err
	}
	return struct {
		Statuses []wireStatus `xml:"instanceStatusSet>item"`
		Next     string       `xml:"nextToken,omitempty"`
	}{all, next}, nil
}

// wireStatus spells the two status checks, which here always agree. A young instance
// is still initializing, one that does not run has no checks.
func (s *Server) wireStatus(i *instance) wireStatus {
	check := wireCheck{"ok", []wireDetail{{"reachability", "passed", ""}}}
	switch since, impaired := s.faults.impaired[i.id]; {
	case i.state != Running:
		check = wireCheck{Status: "not-applicable"}
	case impaired:
		check = wireCheck{"impaired", []wireDetail{{"reachability", "failed", stamp(since)}}}
	// Checks begin to pass about when the machine has booted. "initializing" is not
	// "impaired": to repair such a node would be to kill every new one.
	case now().Sub(i.launched) < i.delays.Pending+i.delays.Boot:
		check = wireCheck{"initializing", []wireDetail{{"reachability", "initializing", ""}}}
	}
	w := wireStatus{Zone: i.offering.Zone, ID: i.id, State: stateOf(i.state), Instance: check, System: check}
	if e, ok := s.faults.planned[i.id]; ok {
		w.Events = append(w.Events, e)
	}
	return w
}
