package aws

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// alive are the states of instances that are not yet terminated.
var alive = []string{
	string(types.InstanceStateNamePending), string(types.InstanceStateNameRunning), string(types.InstanceStateNameStopping),
	string(types.InstanceStateNameStopped), string(types.InstanceStateNameShuttingDown),
}

// List returns the cluster's instances that are not yet terminated, by ID: those
// launched here and those that Karpenter launched. EC2 is eventually
// consistent: an instance may be missing for some seconds after its launch, and
// one that is gone may still be listed.
func (p *Provider) List(ctx context.Context) ([]cloudprovider.Instance, error) {
	list, err := p.living(ctx, types.Filter{Name: sdk.String("tag-key"), Values: []string{v1.TagNodePool}})
	if err != nil {
		return nil, fmt.Errorf("listing instances: %w", err)
	}
	return list, nil
}

// find looks for the instance of a claim by its UID. Of several, which only a
// failure of EC2's idempotency could make, it is the oldest.
func (p *Provider) find(ctx context.Context, uid string) (cloudprovider.Instance, bool, error) {
	list, err := p.living(ctx, types.Filter{Name: sdk.String("tag:" + TagClaimUID), Values: []string{uid}})
	if err != nil {
		return cloudprovider.Instance{}, false, fmt.Errorf("looking for the claim's instance: %w", err)
	}
	if len(list) == 0 {
		return cloudprovider.Instance{}, false, nil
	}
	return slices.MinFunc(list, older), true, nil
}

// earlier is what an earlier process launched, as far as it shows.
type earlier struct {
	byUID map[string]cloudprovider.Instance // by the UID of the claim, if launched for one
	claim map[string]string                 // by the ID of the instance: its claim's name
}

// before lists the cluster's instances as earlier.
func (p *Provider) before(ctx context.Context) (earlier, error) {
	list, err := p.List(ctx)
	if err != nil {
		return earlier{}, err
	}
	out := earlier{map[string]cloudprovider.Instance{}, map[string]string{}}
	for _, i := range list {
		out.claim[i.ID] = i.Claim
		uid := i.Tags[TagClaimUID]
		if had, ok := out.byUID[uid]; uid != "" && (!ok || older(i, had) < 0) {
			out.byUID[uid] = i
		}
	}
	return out, nil
}

func older(a, b cloudprovider.Instance) int {
	return cmp.Or(a.Launched.Compare(b.Launched), cmp.Compare(a.ID, b.ID))
}

// living returns the cluster's instances that match filter and are not yet terminated, by ID.
func (p *Provider) living(ctx context.Context, filter types.Filter) ([]cloudprovider.Instance, error) {
	list, err := p.describe(ctx, filter, types.Filter{Name: sdk.String("instance-state-name"), Values: alive})
	return slices.DeleteFunc(list, func(i cloudprovider.Instance) bool { return i.State == cloudprovider.Terminated }), err
}

// madeBy lists what a fleet of a group has made, by ID, what was terminated since included.
func (p *Provider) madeBy(ctx context.Context, group string, index int) ([]cloudprovider.Instance, error) {
	list, err := p.describe(ctx, types.Filter{Name: sdk.String("tag:" + TagLaunchGroup), Values: []string{fmt.Sprintf("%s/%d/*", group, index)}})
	if err != nil {
		return nil, fmt.Errorf("looking for the group's instances: %w", err)
	}
	return list, nil
}

// describe returns the cluster's instances that match the filters, by ID.
func (p *Provider) describe(ctx context.Context, filters ...types.Filter) ([]cloudprovider.Instance, error) {
	pages := ec2.NewDescribeInstancesPaginator(p.EC2, &ec2.DescribeInstancesInput{
		MaxResults: sdk.Int32(1000),
		Filters:    append(filters, types.Filter{Name: sdk.String("tag:" + v1.TagClusterName), Values: []string{p.Cluster.Name}}),
	})
	var out []cloudprovider.Instance
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("describing instances: %w", err)
		}
		for _, reservation := range page.Reservations {
			for _, i := range reservation.Instances {
				out = append(out, instance(i))
			}
		}
	}
	slices.SortFunc(out, func(a, b cloudprovider.Instance) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

// instance converts EC2's description. One that asked for no reservation and is in one that is
// open to all is on demand.
func instance(i types.Instance) cloudprovider.Instance {
	out := cloudprovider.Instance{
		ID:       sdk.ToString(i.InstanceId),
		ImageID:  sdk.ToString(i.ImageId),
		Offering: cloudprovider.Offering{InstanceType: string(i.InstanceType), CapacityType: cloudprovider.OnDemand},
		Tags:     map[string]string{},
	}
	if i.Placement != nil {
		out.Offering.Zone = sdk.ToString(i.Placement.AvailabilityZone)
		if i.Placement.Tenancy == types.TenancyDedicated {
			out.Offering.Tenancy = cloudprovider.Dedicated
		}
	}
	if i.InstanceLifecycle == types.InstanceLifecycleTypeSpot {
		out.Offering.CapacityType = cloudprovider.Spot
	} else if s := i.CapacityReservationSpecification; i.CapacityReservationId != nil && s != nil &&
		s.CapacityReservationPreference == types.CapacityReservationPreferenceCapacityReservationsOnly {
		out.Offering.CapacityType, out.Offering.Reservation = cloudprovider.Reserved, *i.CapacityReservationId
	}
	out.Offering.Placement = placementOf(i.Placement, out.Offering.CapacityType)
	out.ProviderID = providerID(out.Offering.Zone, out.ID)
	if i.State != nil {
		out.State = stateOf(i.State.Name)
	}
	if i.LaunchTime != nil {
		out.Launched = i.LaunchTime.In(time.UTC)
	}
	for _, t := range i.Tags {
		out.Tags[sdk.ToString(t.Key)] = sdk.ToString(t.Value)
	}
	out.Claim, out.NodePool = out.Tags[v1.TagNodeClaim], out.Tags[v1.TagNodePool]
	out.SubnetID = sdk.ToString(i.SubnetId)
	for _, g := range i.SecurityGroups {
		out.SecurityGroupIDs = append(out.SecurityGroupIDs, sdk.ToString(g.GroupId))
	}
	slices.Sort(out.SecurityGroupIDs)
	out.Annotations = hashAnnotations(out.Tags)
	out.Class = out.Tags[v1.TagNodeClass]
	if i.IamInstanceProfile != nil {
		arn := sdk.ToString(i.IamInstanceProfile.Arn)
		out.Annotations = withProfile(out.Annotations, arn[strings.LastIndexByte(arn, '/')+1:])
	}
	return out
}

// stateOf converts a state. A stopped instance still has disks to pay for, so it
// is on its way out, not gone.
func stateOf(s types.InstanceStateName) cloudprovider.InstanceState {
	switch s {
	case types.InstanceStateNamePending:
		return cloudprovider.Pending
	case types.InstanceStateNameRunning:
		return cloudprovider.Running
	case types.InstanceStateNameTerminated:
		return cloudprovider.Terminated
	}
	return cloudprovider.Stopping
}

// Terminate gives an instance back. It is not an error if it is gone. Calls that
// come while another is under way go out together.
func (p *Provider) Terminate(ctx context.Context, id string) error {
	if err := p.terminations.do(ctx, id); err != nil {
		p.meter().TerminationFailed()
		return fmt.Errorf("terminating %s: %w", id, err)
	}
	return nil
}

// terminate is the batch behind Terminate. EC2 refuses a batch as a whole for
// one instance that it does not know; then each is tried alone.
func (p *Provider) terminate(ctx context.Context, ids []string) map[string]error {
	_, err := p.EC2.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: ids})
	errs := map[string]error{}
	switch {
	case err == nil:
	case len(ids) > 1 && isAnswer(err) && code(err) != codeThrottled:
		maps.Copy(errs, p.terminate(ctx, ids[:len(ids)/2]))
		maps.Copy(errs, p.terminate(ctx, ids[len(ids)/2:]))
	case len(ids) == 1 && code(err) == codeNoInstance:
		// It is gone, which is what was wanted.
	default:
		for _, id := range ids {
			errs[id] = err
		}
	}
	return errs
}
