package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// A Runner is what Rehearse calls besides EC2: an instant fleet runs its instances in the caller's name,
// and a dry run of the fleet does not say whether that is allowed.
type Runner interface {
	RunInstances(ctx context.Context, in *ec2.RunInstancesInput, opts ...func(*ec2.Options)) (*ec2.RunInstancesOutput, error)
}

// A NotAllowedError says that the controller's role may not do what launching takes.
type NotAllowedError struct {
	// Call is EC2's name of it: CreateFleet.
	Call string
	Err  error // what EC2 said
}

// Error names the call.
func (e *NotAllowedError) Error() string {
	return fmt.Sprintf("the controller's role may not call ec2:%s as a launch does: %v", e.Call, e.Err)
}

// Unwrap returns what EC2 said.
func (e *NotAllowedError) Unwrap() error { return e.Err }

// rehearsal stands for NodeClaim and NodePool in the tags of what is never launched.
const rehearsal = "dry-run"

// Rehearse asks EC2 whether instances may be launched from a class, and launches none: it makes the launch template
// and has both calls that use it dry-run. The error is *NotAllowedError where IAM is against it. What else EC2 says against one
// offering is no error: others may do, and a launch says it again.
func (p *Provider) Rehearse(ctx context.Context, c *Class, runner Runner) error {
	g, err := p.rehearsed(ctx, c)
	if err != nil || len(g.placements) == 0 {
		return err
	}
	if err := p.ensure(ctx, g.templates[0]); err != nil {
		return allowed("CreateLaunchTemplate", err)
	}
	tags := p.claimTags(c, cloudprovider.LaunchRequest{Claim: rehearsal, UID: rehearsal, NodePool: rehearsal})
	fleet := fleetInput(c, g, tags, "")
	fleet.ClientToken, fleet.DryRun = nil, sdk.Bool(true)
	_, err = p.EC2.CreateFleet(ctx, fleet)
	if err := allowed("CreateFleet", err); err != nil {
		return err
	}
	_, err = runner.RunInstances(ctx, runInput(g, tags))
	return allowed("RunInstances", err)
}

// rehearsed is a fleet of the first offering that the class has all for; one without placements if there is none.
func (p *Provider) rehearsed(ctx context.Context, c *Class) (group, error) {
	catalog, err := p.catalog(ctx, c)
	if err != nil {
		return group{}, err
	}
	for _, it := range catalog.InstanceTypes {
		at := slices.IndexFunc(it.Offerings, func(o cloudprovider.Offering) bool { return o.CapacityType != cloudprovider.Reserved })
		if at < 0 {
			continue
		}
		plan, err := p.plan(ctx, c, cloudprovider.LaunchRequest{Claim: rehearsal, NodePool: rehearsal, Offerings: it.Offerings[at : at+1]})
		if err != nil || len(plan.groups) > 0 {
			return slices.Concat(plan.groups, []group{{}})[0], err
		}
	}
	return group{}, nil
}

// runInput is a dry run of the first instance of a fleet.
func runInput(g group, tags map[string]string) *ec2.RunInstancesInput {
	pl, t := g.placements[0], g.templates[0]
	in := &ec2.RunInstancesInput{
		DryRun: sdk.Bool(true), MinCount: sdk.Int32(1), MaxCount: sdk.Int32(1),
		InstanceType: types.InstanceType(pl.offering.InstanceType), ImageId: sdk.String(pl.image.ID),
		LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateName: sdk.String(t.name), Version: sdk.String("$Latest")},
	}
	for _, kind := range []types.ResourceType{types.ResourceTypeInstance, types.ResourceTypeVolume} {
		in.TagSpecifications = append(in.TagSpecifications, types.TagSpecification{ResourceType: kind, Tags: ec2Tags(tags)})
	}
	if len(t.data.NetworkInterfaces) == 0 {
		in.SubnetId = sdk.String(pl.subnet.ID)
		return in
	}
	// The subnet goes with the interface, of which that of the template is not merged with.
	first := t.data.NetworkInterfaces[0]
	in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{
		DeviceIndex: sdk.Int32(0), SubnetId: sdk.String(pl.subnet.ID), Groups: first.Groups, AssociatePublicIpAddress: first.AssociatePublicIpAddress,
	}}
	return in
}

// allowed returns what the answer to a call that launches nothing means: *NotAllowedError, no error if EC2 has understood
// the call and refused it for another reason, and otherwise err.
func allowed(call string, err error) error {
	switch code(err) {
	case "UnauthorizedOperation", "AccessDenied", "AccessDeniedException":
		return &NotAllowedError{call, errors.New(code(err))} // the message differs from call to call
	}
	if err == nil || isAnswer(err) && code(err) != codeThrottled {
		return nil
	}
	return fmt.Errorf("rehearsing a launch: %w", err)
}
