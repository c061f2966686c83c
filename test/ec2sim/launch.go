package ec2sim

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// A site is what a spec turns out to name.
type site struct {
	kind   InstanceType
	subnet Subnet // whose zone is the instance's
	image  Image
}

// resolve checks a spec as EC2 does at the moment of launch.
func (s *Server) resolve(sp spec, capacityType string) (site, error) {
	var at site
	var ok bool
	if at.kind, ok = s.typeNamed(sp.instanceType); !ok {
		return at, fail("InvalidParameterValue", "Invalid value '%s' for InstanceType.", sp.instanceType)
	}
	// This account has no default VPC, as accounts of clusters often have none. What
	// happens to work in one that does would fail there.
	if sp.subnet == "" {
		return at, fail("VPCIdNotSpecified", "No default VPC for this user. GroupName is only supported for EC2-Classic and default VPC.")
	}
	if at.subnet, ok = s.world.subnet(sp.subnet); !ok {
		return at, fail("InvalidSubnetID.NotFound", "The subnet ID '%s' does not exist", sp.subnet)
	}
	if sp.image == "" {
		return at, fail("MissingParameter", "The request must contain the parameter ImageId")
	}
	if at.image, ok = s.world.image(sp.image); !ok {
		return at, fail("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", sp.image)
	}
	if at.image.Arch != at.kind.Arch {
		return at, fail("InvalidParameterValue", "The architecture '%s' of the specified instance type does not match the architecture '%s' of the specified AMI. Specify an instance type and an AMI that have matching architectures, and try again.",
			wireArch(at.kind.Arch), wireArch(at.image.Arch))
	}
	// What has no price is not sold: a test takes a pool off the market by SetPrice.
	if err := s.checkTenancy(sp, at.kind); err != nil {
		return at, err
	}
	_, priced := s.price(sp.pool(at, capacityType))
	if !at.kind.sells(at.subnet.Zone) || !priced && sp.target == "" || capacityType == cloudprovider.Spot && at.kind.NoSpot {
		return at, fail("InvalidFleetConfiguration", "Your requested instance type (%s) is not supported in your requested Availability Zone (%s).", at.kind.Name, at.subnet.Zone)
	}
	if err := at.kind.carries(sp); err != nil {
		return at, err
	}
	return at, s.checkIdentity(sp, capacityType)
}

// pool is where a spec is launched from.
func (sp spec) pool(at site, capacityType string) cloudprovider.Offering {
	o := at.kind.pool(at.subnet.Zone, capacityType)
	o.Tenancy = sp.tenancy
	return o
}

// checkIdentity checks what a machine is to others: groups, profile and tags.
func (s *Server) checkIdentity(sp spec, capacityType string) error {
	for _, g := range sp.groups {
		if !s.world.group(g) {
			return fail("InvalidGroup.NotFound", "The security group '%s' does not exist in VPC '%s'", g, s.world.VPC)
		}
	}
	if sp.profile != "" {
		p := s.profiles[sp.profile]
		if p == nil || now().Before(p.visible) {
			return fail("InvalidParameterValue", "Value (%s) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name", sp.profile)
		}
		if len(p.Roles) == 0 {
			return fail("InvalidParameterValue", "IAM Instance Profile %q has no associated IAM Roles", p.arn(s.opts.Account))
		}
	}
	// A launch template that serves both capacity types must not have such tags: the
	// reason why callers make two.
	if sp.tagsSpot && capacityType != cloudprovider.Spot {
		return fail("InvalidParameterValue", "You cannot specify tags for Spot instances requests if there are no Spot instances requests being created by the request.")
	}
	return nil
}

// launch makes an instance, and lets it live. The capacity type is a fleet's word for it.
// maxPrice refuses a dearer spot pool; 0 refuses none. The caller holds the lock.
func (s *Server) launch(sp spec, capacityType string, maxPrice int64) (*instance, error) {
	// Close waits for lives; none may begin after it.
	if s.ctx.Err() != nil {
		return nil, fail("ServiceUnavailable", "the simulator is closing")
	}
	at, err := s.resolve(sp, capacityType)
	if err != nil {
		return nil, err
	}
	pool := sp.pool(at, capacityType)
	if price, _ := s.price(pool); capacityType == cloudprovider.Spot && maxPrice > 0 && price > maxPrice {
		return nil, fail("SpotMaxPriceTooLow", "Your Spot request price of %s is lower than the minimum required Spot request fulfillment price of %s.", dollars(maxPrice), dollars(price))
	}
	if pool.Placement, err = s.placed(sp, at.kind, at.subnet.Zone); err != nil {
		return nil, err
	}
	if s.freeAddresses(at.subnet) < 1 {
		return nil, fail("InsufficientFreeAddressesInSubnet", "There are not enough free addresses in subnet '%s' to satisfy the requested number of instances.", at.subnet.ID)
	}
	within := ""
	if capacityType != cloudprovider.Spot {
		if within, err = s.within(sp, at.kind, at.subnet.Zone, capacityType); err != nil {
			return nil, err
		}
		pool.CapacityType = cloudprovider.OnDemand
	}
	if sp.target != "" {
		pool.CapacityType, pool.Reservation = cloudprovider.Reserved, within
	}
	// After everything that can refuse: a launch that fails for another reason must not
	// use up what a Shortage has left.
	if err := s.faults.take(pool); err != nil {
		return nil, err
	}
	ip, _ := s.takeAddress(at.subnet)
	i := &instance{
		id: s.id("i-0", 16), reservation: s.id("r-0", 16), offering: pool, kind: at.kind, image: at.image, subnet: at.subnet, spec: sp, within: within,
		ip: ip, dns: privateDNS(ip, s.opts.Region), launched: now(), visible: now().Add(s.faults.lag), state: Pending,
		tags: map[string]string{}, stop: make(chan struct{}), delays: s.opts.Delays.jittered(s.opts.Seed, uint64(len(s.instances))),
	}
	i.tag(sp.tags)
	s.instances = append(s.instances, i)
	s.opts.Logf("%s launched as %s", i.id, pool)
	s.announce(i)
	s.wg.Go(func() { s.live(i) })
	return i, nil
}

// privateDNS is the name that a VPC's resolver gives an address.
func privateDNS(ip, region string) string {
	domain := region + ".compute.internal"
	if region == "us-east-1" {
		domain = "ec2.internal"
	}
	return fmt.Sprintf("ip-%s.%s", strings.ReplaceAll(ip, ".", "-"), domain)
}

// dollars spells micro-dollars as AWS spells prices.
func dollars(micro int64) string { return strconv.FormatFloat(float64(micro)/1e6, 'f', 6, 64) }

// runInstances launches MinCount to MaxCount instances of one spec.
func (s *Server) runInstances(p params) (any, error) {
	sp, err := readSpec(p)
	if err != nil {
		return nil, err
	}
	if lt := p.sub("LaunchTemplate"); lt.present() {
		t, err := s.namedTemplate(lt)
		if err != nil {
			return nil, err
		}
		sp = sp.over(t.spec)
	}
	for _, name := range []string{"MinCount", "MaxCount"} {
		if _, err := p.need(name); err != nil {
			return nil, err
		}
	}
	least, err := p.integer("MinCount", 1)
	if err != nil {
		return nil, err
	}
	most, err := p.integer("MaxCount", 1)
	if err != nil {
		return nil, err
	}
	capacityType := cloudprovider.OnDemand
	if p.sub("InstanceMarketOptions").str("MarketType") == "spot" {
		capacityType = cloudprovider.Spot
	}
	// A dry run checks all but capacity and addresses, which a caller that only wants to
	// know its permissions does not need.
	if _, err := s.resolve(sp, capacityType); err != nil {
		return nil, err
	}
	if p.boolean("DryRun") {
		return nil, errDryRun
	}
	return s.run(sp, capacityType, least, most)
}

// run launches most instances, or all that can be had if they are at least least.
func (s *Server) run(sp spec, capacityType string, least, most int) (any, error) {
	out := wireReservation{Owner: s.opts.Account}
	for n := range most {
		i, err := s.launch(sp, capacityType, 0)
		if err != nil && n < least {
			// All or nothing below MinCount. EC2 launches nothing at all then; what was made
			// here ends before anybody sees it run.
			for _, w := range out.Instances {
				s.shutDown(s.find(w.ID), "Server.InsufficientInstanceCapacity", "Server.InsufficientInstanceCapacity")
			}
			return nil, err
		}
		if err != nil {
			break
		}
		out.ID = i.reservation
		out.Instances = append(out.Instances, s.wireInstance(i))
	}
	return out, nil
}

// over fills in what sp leaves open from a template's data.
func (sp spec) over(t spec) spec {
	// Tags and groups are replaced as a whole: RunInstances does not merge them.
	out := t
	for _, f := range []struct{ to, from *string }{
		{&out.image, &sp.image}, {&out.instanceType, &sp.instanceType}, {&out.subnet, &sp.subnet}, {&out.profile, &sp.profile},
	} {
		if *f.from != "" {
			*f.to = *f.from
		}
	}
	if len(sp.groups) > 0 {
		out.groups = sp.groups
	}
	if len(sp.userData) > 0 {
		out.userData = sp.userData
	}
	if len(sp.tags) > 0 {
		out.tags = sp.tags
	}
	return out
}
