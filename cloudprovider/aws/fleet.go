package aws

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// An order is what one CreateFleet is to buy: a number of machines, each of one of a group's offerings.
type order struct {
	group
	count int
	// token is the client token; tags are those of all that is made.
	token string
	tags  map[string]string
}

// An outcome is what became of an order. If there is neither a machine nor err, all
// offerings were refused.
type outcome struct {
	// machines that were bought, by ID. One of an offering that was not asked for has none.
	machines []cloudprovider.Instance
	refused  []cloudprovider.Offering
	causes   []error // what EC2 said of the refused ones
	// err is why there are fewer machines than ordered, if that is not for want of capacity.
	err error
	// full are zones in which a spread group has as many instances as it may.
	full []string
	// accepted says that EC2 took the request and answered with fewer machines than ordered:
	// its token is used up.
	accepted bool
}

// buy carries out an order. If a launch template is gone that was thought to be
// there, it is made again and EC2 asked once more.
func (p *Provider) buy(ctx context.Context, c *Class, o order) outcome {
	out := p.ask(ctx, c, o)
	if !isTemplateGone(code(out.err)) || len(out.machines) > 0 {
		return out
	}
	for _, t := range o.templates {
		p.templates.forget(t.name)
	}
	if out.accepted {
		// EC2 would answer the same token with the same error.
		o.token = tokenOf(o.token, 0, 0)
	}
	return p.ask(ctx, c, o)
}

// ask makes sure of the templates and calls CreateFleet.
func (p *Provider) ask(ctx context.Context, c *Class, o order) outcome {
	for _, t := range o.templates {
		if err := p.ensure(ctx, t); err != nil {
			return outcome{err: err}
		}
	}
	end := p.meter().Batch(batchLaunch, o.count)
	answer, err := p.EC2.CreateFleet(ctx, fleetInput(c, o))
	end()
	if err != nil {
		err = fmt.Errorf("creating a fleet of %d for %d offering(s): %w", o.count, len(o.placements), err)
		if isNoCapacity(code(err)) {
			return outcome{refused: o.offerings(), causes: []error{err}}
		}
		return outcome{err: err}
	}
	out := p.refusals(o.group, answer.Errors)
	out.refused = append(out.refused, p.besides(ctx, c, o.group, out)...)
	out.machines = p.machines(c, o, answer)
	if out.accepted = len(out.machines) < o.count; !out.accepted {
		out.err = nil
	} else if out.err == nil && len(out.machines)+len(out.refused) == 0 {
		out.err = errors.New("the fleet came back with neither an instance nor an error")
	}
	return out
}

// machines are those of a fleet's answer.
func (p *Provider) machines(c *Class, o order, answer *ec2.CreateFleetOutput) (all []cloudprovider.Instance) {
	// By EC2's clock: this package has none.
	launched, _ := middleware.GetServerTime(answer.ResultMetadata)
	for _, bought := range answer.Instances {
		pl, asked := chosen(o.group, bought)
		for _, id := range bought.InstanceIds {
			all = append(all, cloudprovider.Instance{
				ID: id, ProviderID: providerID(pl.offering.Zone, id), ImageID: pl.image.ID, Offering: pl.offering,
				State: cloudprovider.Pending, Launched: launched, Claim: o.tags[v1.TagNodeClaim], NodePool: o.tags[v1.TagNodePool], Class: c.Name,
				Tags: o.tags, Annotations: withProfile(hashAnnotations(o.tags), c.InstanceProfile),
			})
			if asked {
				p.addresses.take(pl.subnet, pl.pods)
			}
		}
	}
	slices.SortFunc(all, func(a, b cloudprovider.Instance) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// fleetInput is the request for an order.
func fleetInput(c *Class, o order) *ec2.CreateFleetInput {
	in := &ec2.CreateFleetInput{
		Type:        types.FleetTypeInstant,
		ClientToken: optional(o.token),
		Context:     optional(c.Spec.Context),
		TargetCapacitySpecification: &types.TargetCapacitySpecificationRequest{
			TotalTargetCapacity:       sdk.Int32(int32(o.count)),
			DefaultTargetCapacityType: o.target(),
		},
	}
	for _, kind := range []types.ResourceType{types.ResourceTypeInstance, types.ResourceTypeVolume, types.ResourceTypeFleet} {
		in.TagSpecifications = append(in.TagSpecifications, types.TagSpecification{ResourceType: kind, Tags: ec2Tags(o.tags)})
	}
	o.choose(in)
	for _, t := range o.templates {
		in.LaunchTemplateConfigs = append(in.LaunchTemplateConfigs, types.FleetLaunchTemplateConfigRequest{
			LaunchTemplateSpecification: &types.FleetLaunchTemplateSpecificationRequest{LaunchTemplateName: sdk.String(t.name), Version: sdk.String("$Latest")},
		})
	}
	for i, pl := range o.placements {
		override := types.FleetLaunchTemplateOverridesRequest{
			InstanceType:     types.InstanceType(pl.offering.InstanceType),
			SubnetId:         sdk.String(pl.subnet.ID),
			AvailabilityZone: sdk.String(pl.offering.Zone),
			ImageId:          sdk.String(pl.image.ID),
		}
		if o.ranked {
			override.Priority = sdk.Float64(float64(i)) // the lowest goes first
		}
		config := &in.LaunchTemplateConfigs[pl.template]
		config.Overrides = append(config.Overrides, override)
	}
	return in
}

// target is the capacity type in the words of a fleet: what is reserved is on demand to it,
// unless the reservation is of a kind that has a market of its own.
func (g group) target() types.DefaultTargetCapacityType {
	switch {
	case g.reservation == nil:
		return types.DefaultTargetCapacityType(g.capacityType)
	case g.reservation.ReservationType == v1.ReservationBlock:
		return types.DefaultTargetCapacityTypeCapacityBlock
	case g.reservation.Interruptible:
		return types.DefaultTargetCapacityTypeReservedCapacity
	}
	return types.DefaultTargetCapacityTypeOnDemand
}

// choose says how EC2 is to choose among the group's offerings.
func (g group) choose(in *ec2.CreateFleetInput) {
	spot, onDemand := types.SpotAllocationStrategyPriceCapacityOptimized, types.FleetOnDemandAllocationStrategyLowestPrice
	if g.ranked {
		spot, onDemand = types.SpotAllocationStrategyCapacityOptimizedPrioritized, types.FleetOnDemandAllocationStrategyPrioritized
	}
	switch g.target() {
	case types.DefaultTargetCapacityTypeSpot:
		in.SpotOptions = &types.SpotOptionsRequest{AllocationStrategy: spot}
	case types.DefaultTargetCapacityTypeOnDemand:
		in.OnDemandOptions = &types.OnDemandOptionsRequest{AllocationStrategy: onDemand}
	case types.DefaultTargetCapacityTypeReservedCapacity:
		in.ReservedCapacityOptions = &types.ReservedCapacityOptionsRequest{
			ReservationTypes: []types.FleetReservationType{types.FleetReservationTypeInterruptibleCapacityReservation},
		}
	}
}

// refusals sorts a fleet's errors: offerings that ran out, and everything else,
// which is joined into err.
func (p *Provider) refusals(g group, errs []types.CreateFleetError) outcome {
	var out outcome
	var other []error
	hit := make([]bool, len(g.placements))
	seen := map[FleetError]bool{}
	for _, e := range errs {
		cause := fleetError(e)
		capacity := isNoCapacity(cause.Code)
		for i, pl := range g.placements {
			if !concerns(e, pl) {
				continue
			}
			p.meter().LaunchFailed(pl.offering, pl.subnet.ZoneID, cause.Code)
			if spreadIsFull(cause) && !slices.Contains(out.full, pl.offering.Zone) {
				out.full = append(out.full, pl.offering.Zone)
			}
			hit[i] = hit[i] || capacity
			if cause.Code == codeNoAddresses {
				p.addresses.exhaust(pl.subnet)
			}
		}
		if seen[*cause] {
			continue
		}
		seen[*cause] = true
		if capacity {
			out.causes = append(out.causes, cause)
		} else {
			other = append(other, cause)
		}
	}
	for i, pl := range g.placements {
		if hit[i] {
			out.refused = append(out.refused, pl.offering)
		}
	}
	out.err = errors.Join(other...)
	if len(other) == 1 {
		out.err = other[0]
	}
	return out
}

// besides lists what else cannot be had where a spread group is full: every type in the zone,
// whether it was asked for or not.
func (p *Provider) besides(ctx context.Context, c *Class, g group, out outcome) []cloudprovider.Offering {
	if len(out.full) == 0 {
		return nil
	}
	catalog, err := p.catalog(ctx, c)
	if err != nil {
		return nil // what was asked for is refused all the same
	}
	var more []cloudprovider.Offering
	for i := range catalog.InstanceTypes {
		for _, o := range catalog.InstanceTypes[i].Offerings {
			if o.Placement == g.place && slices.Contains(out.full, o.Zone) && !slices.Contains(out.refused, o) {
				more = append(more, o)
			}
		}
	}
	return more
}

// concerns reports whether e is about pl. An error that names no override is
// about the whole fleet.
func concerns(e types.CreateFleetError, pl placement) bool {
	if e.LaunchTemplateAndOverrides == nil || e.LaunchTemplateAndOverrides.Overrides == nil {
		return true
	}
	o := e.LaunchTemplateAndOverrides.Overrides
	return matches(string(o.InstanceType), pl.offering.InstanceType) && matches(sdk.ToString(o.SubnetId), pl.subnet.ID) &&
		matches(sdk.ToString(o.AvailabilityZone), pl.offering.Zone)
}

func matches(said, ours string) bool { return said == "" || said == ours }

// chosen returns the placement that EC2 took for some instances; not ok is one that nobody
// asked for.
func chosen(g group, i types.CreateFleetInstance) (pl placement, ok bool) {
	subnet, zone := sdk.ToString(i.SubnetId), sdk.ToString(i.AvailabilityZone)
	if i.LaunchTemplateAndOverrides != nil && i.LaunchTemplateAndOverrides.Overrides != nil {
		o := i.LaunchTemplateAndOverrides.Overrides
		subnet, zone = sdk.ToString(o.SubnetId), sdk.ToString(o.AvailabilityZone)
	}
	for _, pl := range g.placements {
		if matches(string(i.InstanceType), pl.offering.InstanceType) && matches(subnet, pl.subnet.ID) && matches(zone, pl.offering.Zone) {
			return pl, true
		}
	}
	return placement{}, false
}

// providerID is the name of an instance in Node.spec.providerID.
func providerID(zone, id string) string { return "aws:///" + zone + "/" + id }
