package aws

import (
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

// An outcome is what became of a group. At most one of instance and err is set;
// neither means that all offerings were refused.
type outcome struct {
	instance cloudprovider.Instance
	refused  []cloudprovider.Offering
	causes   []error // what EC2 said of the refused ones
	err      error
	// full are zones in which a spread group has as many instances as it may.
	full []string
	// accepted says that EC2 took the request and answered without an instance,
	// so that its token is used up.
	accepted bool
}

// buy asks for one instance of the group. If a launch template is gone that was
// thought to be there, it is made again and EC2 asked once more.
func (p *Provider) buy(ctx context.Context, c *Class, r cloudprovider.LaunchRequest, g group, token string) outcome {
	out := p.ask(ctx, c, r, g, token)
	if !isTemplateGone(code(out.err)) {
		return out
	}
	for _, t := range g.templates {
		p.templates.forget(t.name)
	}
	if out.accepted {
		// EC2 would answer the same token with the same error.
		token = tokenOf(token, 0, 0)
	}
	return p.ask(ctx, c, r, g, token)
}

// ask makes sure of the templates and calls CreateFleet.
func (p *Provider) ask(ctx context.Context, c *Class, r cloudprovider.LaunchRequest, g group, token string) outcome {
	for _, t := range g.templates {
		if err := p.ensure(ctx, t); err != nil {
			return outcome{err: err}
		}
	}
	tags := p.claimTags(c, r)
	answer, err := p.EC2.CreateFleet(ctx, fleetInput(c, g, tags, token))
	if err != nil {
		err = fmt.Errorf("creating a fleet for %d offering(s): %w", len(g.placements), err)
		if isNoCapacity(code(err)) {
			return outcome{refused: g.offerings(), causes: []error{err}}
		}
		return outcome{err: err}
	}
	out := p.refusals(g, answer.Errors)
	out.refused = append(out.refused, p.besides(ctx, c, g, out)...)
	pl, id, ok := chosen(g, answer.Instances)
	if id != "" && !ok {
		// Not accepted: that leaves a doubt, and the next launch looks it up.
		return outcome{err: fmt.Errorf("the fleet made %s, which is none of the offerings asked for", id)}
	}
	if ok {
		p.addresses.take(pl.subnet, pl.pods)
		out.err, out.accepted = nil, false
		out.instance = cloudprovider.Instance{
			ID: id, ProviderID: providerID(pl.offering.Zone, id), ImageID: pl.image.ID, Offering: pl.offering,
			State: cloudprovider.Pending, Claim: r.Claim, NodePool: r.NodePool, Tags: tags, Annotations: hashAnnotations(tags),
		}
		out.instance.Class, out.instance.Annotations = c.Name, withProfile(out.instance.Annotations, c.InstanceProfile)
		// By EC2's clock: this package has none.
		out.instance.Launched, _ = middleware.GetServerTime(answer.ResultMetadata)
		return out
	}
	out.accepted = true
	if out.err == nil && len(out.refused) == 0 {
		out.err = errors.New("the fleet came back with neither an instance nor an error")
	}
	return out
}

// fleetInput is the request for one instance of g.
func fleetInput(c *Class, g group, tags map[string]string, token string) *ec2.CreateFleetInput {
	in := &ec2.CreateFleetInput{
		Type:        types.FleetTypeInstant,
		ClientToken: sdk.String(token),
		Context:     optional(c.Spec.Context),
		TargetCapacitySpecification: &types.TargetCapacitySpecificationRequest{
			TotalTargetCapacity:       sdk.Int32(1),
			DefaultTargetCapacityType: g.target(),
		},
	}
	for _, kind := range []types.ResourceType{types.ResourceTypeInstance, types.ResourceTypeVolume, types.ResourceTypeFleet} {
		in.TagSpecifications = append(in.TagSpecifications, types.TagSpecification{ResourceType: kind, Tags: ec2Tags(tags)})
	}
	g.choose(in)
	for _, t := range g.templates {
		in.LaunchTemplateConfigs = append(in.LaunchTemplateConfigs, types.FleetLaunchTemplateConfigRequest{
			LaunchTemplateSpecification: &types.FleetLaunchTemplateSpecificationRequest{LaunchTemplateName: sdk.String(t.name), Version: sdk.String("$Latest")},
		})
	}
	for i, pl := range g.placements {
		override := types.FleetLaunchTemplateOverridesRequest{
			InstanceType:     types.InstanceType(pl.offering.InstanceType),
			SubnetId:         sdk.String(pl.subnet.ID),
			AvailabilityZone: sdk.String(pl.offering.Zone),
			ImageId:          sdk.String(pl.image.ID),
		}
		if g.ranked {
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

// chosen returns the placement that EC2 took and the ID of the instance. An ID
// without ok is an instance that nobody asked for.
func chosen(g group, instances []types.CreateFleetInstance) (placement, string, bool) {
	for _, i := range instances {
		if len(i.InstanceIds) == 0 {
			continue
		}
		subnet, zone := sdk.ToString(i.SubnetId), sdk.ToString(i.AvailabilityZone)
		if i.LaunchTemplateAndOverrides != nil && i.LaunchTemplateAndOverrides.Overrides != nil {
			o := i.LaunchTemplateAndOverrides.Overrides
			subnet, zone = sdk.ToString(o.SubnetId), sdk.ToString(o.AvailabilityZone)
		}
		for _, pl := range g.placements {
			if matches(string(i.InstanceType), pl.offering.InstanceType) && matches(subnet, pl.subnet.ID) && matches(zone, pl.offering.Zone) {
				return pl, i.InstanceIds[0], true
			}
		}
		return placement{}, i.InstanceIds[0], false
	}
	return placement{}, "", false
}

// providerID is the name of an instance in Node.spec.providerID.
func providerID(zone, id string) string { return "aws:///" + zone + "/" + id }
