package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
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

// Error names the call, and what EC2 said in full.
func (e *NotAllowedError) Error() string { return e.Verdict() + ": " + e.Err.Error() }

// Verdict is the same each time that EC2 says so.
func (e *NotAllowedError) Verdict() string {
	return fmt.Sprintf("the controller's role may not call ec2:%s as a launch does (%s)", e.Call, code(e.Err))
}

// Unwrap returns what EC2 said.
func (e *NotAllowedError) Unwrap() error { return e.Err }

// rehearsal stands for NodeClaim and NodePool in the tags of what is never launched, and rehearsals is how many
// types are tried: some may be forbidden to the account, which buys others.
const (
	rehearsal  = "dry-run"
	rehearsals = 4
)

// Rehearse asks EC2 whether instances may be launched from a class, and launches none: it makes the launch template
// and has both calls that use it dry-run, until they are allowed for one of a few types in some zones. The error is
// *NotAllowedError where IAM is against all of them. What else EC2 says against an offering is no error: others may do, and a
// launch says it again.
func (p *Provider) Rehearse(ctx context.Context, c *Class, runner Runner) error {
	groups, err := p.rehearsed(ctx, c)
	if err != nil {
		return err
	}
	var denied error
	for _, g := range groups {
		err := p.rehearse(ctx, c, g, runner)
		if _, ok := errors.AsType[*NotAllowedError](err); !ok {
			return err
		}
		denied = err
	}
	return denied
}

func (p *Provider) rehearse(ctx context.Context, c *Class, g group, runner Runner) error {
	if err := p.ensure(ctx, g.templates[0]); err != nil {
		if denied := refusedBy("CreateLaunchTemplate", err); denied != nil {
			return denied
		}
		return fmt.Errorf("rehearsing a launch: %w", err)
	}
	tags := p.claimTags(c, cloudprovider.LaunchRequest{Claim: rehearsal, UID: rehearsal, NodePool: rehearsal})
	fleet := fleetInput(c, order{group: g, count: 1, tags: tags})
	fleet.DryRun = sdk.Bool(true)
	_, err := p.EC2.CreateFleet(ctx, fleet)
	if err := allowed("CreateFleet", err); err != nil {
		return err
	}
	_, err = runner.RunInstances(ctx, runInput(g, tags))
	return allowed("RunInstances", err)
}

// rehearsed are fleets of one offering each, of types far apart in the catalog and of several zones.
func (p *Provider) rehearsed(ctx context.Context, c *Class) (groups []group, err error) {
	catalog, err := p.catalog(ctx, c)
	if err != nil {
		return nil, err
	}
	for k := range rehearsals {
		kinds := catalog.InstanceTypes[len(catalog.InstanceTypes)*k/rehearsals : len(catalog.InstanceTypes)*(k+1)/rehearsals]
		for _, it := range kinds {
			offerings := slices.DeleteFunc(slices.Clone(it.Offerings), func(o cloudprovider.Offering) bool {
				return o.CapacityType != cloudprovider.OnDemand || o.Tenancy != "" // which few ask for, and some accounts forbid
			})
			if len(offerings) == 0 {
				continue
			}
			at := k % len(offerings)
			plan, err := p.plan(ctx, c, cloudprovider.LaunchRequest{Claim: rehearsal, NodePool: rehearsal, Offerings: offerings[at : at+1]})
			if err != nil {
				return nil, err
			}
			if len(plan.groups) > 0 {
				groups = append(groups, plan.groups[0])
				break
			}
		}
	}
	return groups, nil
}

// runInput is a dry run of the first instance of a fleet.
func runInput(g group, tags map[string]string) *ec2.RunInstancesInput {
	pl, t := g.placements[0], g.templates[0]
	in := &ec2.RunInstancesInput{
		DryRun: sdk.Bool(true), MinCount: sdk.Int32(1), MaxCount: sdk.Int32(1),
		InstanceType: types.InstanceType(pl.offering.InstanceType), ImageId: sdk.String(pl.image.ID),
		LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateName: sdk.String(t.name), Version: sdk.String("$Latest")},
	}
	// Tags in the request stand in place of the template's. Policies look at those of all that is made.
	for _, kind := range []types.ResourceType{types.ResourceTypeInstance, types.ResourceTypeVolume, types.ResourceTypeNetworkInterface} {
		in.TagSpecifications = append(in.TagSpecifications, types.TagSpecification{ResourceType: kind, Tags: ec2Tags(tags)})
	}
	if m := t.data.MetadataOptions; m != nil { // policies that ask for tokens look at the request alone
		in.MetadataOptions = &types.InstanceMetadataOptionsRequest{
			HttpEndpoint: types.InstanceMetadataEndpointState(m.HttpEndpoint), HttpTokens: types.HttpTokensState(m.HttpTokens), HttpPutResponseHopLimit: m.HttpPutResponseHopLimit,
		}
	}
	if len(t.data.NetworkInterfaces) == 0 {
		in.SubnetId = sdk.String(pl.subnet.ID)
		return in
	}
	// The subnet goes with the interface, which is not merged with that of the template.
	first := t.data.NetworkInterfaces[0]
	in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{
		DeviceIndex: sdk.Int32(0), SubnetId: sdk.String(pl.subnet.ID), Groups: first.Groups, AssociatePublicIpAddress: first.AssociatePublicIpAddress,
	}}
	return in
}

// refusedBy is *NotAllowedError if IAM is against a call, and else nil.
func refusedBy(call string, err error) error {
	switch code(err) {
	case "UnauthorizedOperation", "AccessDenied", "AccessDeniedException":
		return &NotAllowedError{call, err}
	}
	return nil
}

// allowed returns what the answer to a dry run means: *NotAllowedError, no error if EC2 has understood the call and would do
// it, or refuses it for another reason, and otherwise err.
func allowed(call string, err error) error {
	if denied := refusedBy(call, err); denied != nil {
		return denied
	}
	if _, throttled := retry.DefaultThrottleErrorCodes[code(err)]; err == nil || isAnswer(err) && !throttled {
		return nil
	}
	return fmt.Errorf("rehearsing a launch: %w", err)
}
