package nodeclass

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"

	"github.com/stowage-sh/stowage/cloudprovider/aws"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// EC2 is what selectors are looked up with.
type EC2 interface {
	DescribeSubnets(ctx context.Context, in *ec2.DescribeSubnetsInput, opts ...func(*ec2.Options)) (*ec2.DescribeSubnetsOutput, error)
	DescribeSecurityGroups(ctx context.Context, in *ec2.DescribeSecurityGroupsInput, opts ...func(*ec2.Options)) (*ec2.DescribeSecurityGroupsOutput, error)
	DescribeCapacityReservations(ctx context.Context, in *ec2.DescribeCapacityReservationsInput, opts ...func(*ec2.Options)) (*ec2.DescribeCapacityReservationsOutput, error)
	DescribePlacementGroups(ctx context.Context, in *ec2.DescribePlacementGroupsInput, opts ...func(*ec2.Options)) (*ec2.DescribePlacementGroupsOutput, error)
	DescribeImages(ctx context.Context, in *ec2.DescribeImagesInput, opts ...func(*ec2.Options)) (*ec2.DescribeImagesOutput, error)
}

// subnets finds the spec's subnets, in order of zone and ID.
func (c *Controller) subnets(ctx context.Context, spec *v1.EC2NodeClassSpec) ([]aws.Subnet, *verdict, error) {
	var queries queries
	for _, t := range spec.SubnetSelectorTerms {
		queries.add("subnet-id", t.ID, t.Tags)
	}
	found := map[string]aws.Subnet{}
	for _, filters := range queries.all() {
		pages := ec2.NewDescribeSubnetsPaginator(c.EC2, &ec2.DescribeSubnetsInput{Filters: filters})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, nil, fmt.Errorf("describing subnets: %w", err)
			}
			for _, s := range page.Subnets {
				found[sdk.ToString(s.SubnetId)] = aws.Subnet{
					ID: sdk.ToString(s.SubnetId), Zone: sdk.ToString(s.AvailabilityZone), ZoneID: sdk.ToString(s.AvailabilityZoneId),
					FreeAddresses: int64(sdk.ToInt32(s.AvailableIpAddressCount)),
				}
			}
		}
	}
	if len(found) == 0 {
		return nil, verdictf("SubnetsNotFound", "no subnet matches spec.subnetSelectorTerms: %s", queries.said()), nil
	}
	out := slices.Collect(maps.Values(found))
	aws.SortSubnets(out)
	return out, nil, nil
}

// securityGroups finds the spec's security groups, in order of their IDs.
func (c *Controller) securityGroups(ctx context.Context, spec *v1.EC2NodeClassSpec) ([]v1.SecurityGroup, *verdict, error) {
	var queries queries
	for _, t := range spec.SecurityGroupSelectorTerms {
		if t.Name != "" {
			queries.add("group-name", t.Name, nil)
			continue
		}
		queries.add("group-id", t.ID, t.Tags)
	}
	found := map[string]v1.SecurityGroup{}
	for _, filters := range queries.all() {
		pages := ec2.NewDescribeSecurityGroupsPaginator(c.EC2, &ec2.DescribeSecurityGroupsInput{Filters: filters})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, nil, fmt.Errorf("describing security groups: %w", err)
			}
			for _, g := range page.SecurityGroups {
				found[sdk.ToString(g.GroupId)] = v1.SecurityGroup{ID: sdk.ToString(g.GroupId), Name: sdk.ToString(g.GroupName)}
			}
		}
	}
	if len(found) == 0 {
		return nil, verdictf("SecurityGroupsNotFound", "no security group matches spec.securityGroupSelectorTerms: %s", queries.said()), nil
	}
	return slices.SortedFunc(maps.Values(found), func(a, b v1.SecurityGroup) int { return cmp.Compare(a.ID, b.ID) }), nil, nil
}

// reservations finds the spec's capacity reservations, in order of their IDs. EC2 has no filter
// for their tags on record, and accounts have few: all are asked for, and chosen here. That
// there are none is no mistake: they come and go.
func (c *Controller) reservations(ctx context.Context, m moment) ([]aws.Reservation, *verdict, error) {
	terms := m.class.Spec.CapacityReservationSelectorTerms
	if len(terms) == 0 {
		return nil, nil, nil
	}
	pages := ec2.NewDescribeCapacityReservationsPaginator(c.EC2, &ec2.DescribeCapacityReservationsInput{
		Filters: []types.Filter{{Name: sdk.String("state"), Values: []string{string(types.CapacityReservationStateActive)}}},
	})
	var found []aws.Reservation
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("describing capacity reservations: %w", err)
		}
		counted, _ := middleware.GetServerTime(page.ResultMetadata)
		for _, r := range page.CapacityReservations {
			if r := aws.ReservationFromEC2(r, counted, m.now); r.Selected(terms) {
				found = append(found, r)
			}
		}
	}
	aws.SortReservations(found)
	return found, nil, nil
}

// placementGroup finds the spec's placement group; nil without a verdict where it asks for none.
func (c *Controller) placementGroup(ctx context.Context, spec *v1.EC2NodeClassSpec) (*aws.PlacementGroup, *verdict, error) {
	wants := spec.PlacementGroupSelector
	if wants == nil {
		return nil, nil, nil
	}
	in, said := &ec2.DescribePlacementGroupsInput{GroupNames: []string{wants.Name}}, "name "+wants.Name
	if wants.ID != "" {
		in, said = &ec2.DescribePlacementGroupsInput{GroupIds: []string{wants.ID}}, "id "+wants.ID
	}
	out, err := c.EC2.DescribePlacementGroups(ctx, in)
	if api, ok := errors.AsType[smithy.APIError](err); ok && strings.HasPrefix(api.ErrorCode(), "InvalidPlacementGroup") {
		out, err = &ec2.DescribePlacementGroupsOutput{}, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("describing placement group %s: %w", said, err)
	}
	if len(out.PlacementGroups) == 0 {
		return nil, verdictf("PlacementGroupNotFound", "EC2 has no placement group with spec.placementGroupSelector: %s", said), nil
	}
	found := out.PlacementGroups[0]
	group := aws.PlacementGroupFromEC2(found)
	switch {
	case found.State != types.PlacementGroupStateAvailable:
		return nil, verdictf("PlacementGroupNotAvailable", "placement group %s (%s) is %s", group.ID, said, found.State), nil
	case found.Strategy == types.PlacementStrategyPartition && group.Partitions < 1,
		found.Strategy != types.PlacementStrategyPartition && found.Strategy != types.PlacementStrategyCluster && found.Strategy != types.PlacementStrategySpread:
		return nil, verdictf("NotUnderstood", "placement group %s (%s) has the strategy %q with %d partition(s), which is not understood", group.ID, said, found.Strategy, group.Partitions), nil
	}
	return group, nil, nil
}

// queries are selector terms as EC2's filters. Terms that name one thing each are
// one query; a term of tags is one of its own, since its tags all have to match.
// Filters, unlike parameters for IDs, find nothing where one does not exist.
type queries struct {
	names  []string // filters by which a name or ID is looked for, in order
	values map[string][]string
	tagged [][]types.Filter
	terms  []string
}

// add adds one term: a value of the filter, or tags.
func (q *queries) add(filter, value string, tags map[string]string) {
	if value != "" {
		if q.values == nil {
			q.values = map[string][]string{}
		}
		if _, ok := q.values[filter]; !ok {
			q.names = append(q.names, filter)
		}
		q.values[filter] = append(q.values[filter], value)
		q.terms = append(q.terms, filter+" "+value)
		return
	}
	q.tagged = append(q.tagged, tagFilters(tags))
	q.terms = append(q.terms, "tags "+said(tags))
}

// all returns the filters of each query.
func (q *queries) all() [][]types.Filter {
	var out [][]types.Filter
	for _, name := range q.names {
		out = append(out, []types.Filter{{Name: sdk.String(name), Values: q.values[name]}})
	}
	return append(out, q.tagged...)
}

// said is the terms in words, by their index.
func (q *queries) said() string {
	out := make([]string, len(q.terms))
	for i, term := range q.terms {
		out[i] = fmt.Sprintf("[%d] %s", i, term)
	}
	return strings.Join(out, "; ")
}

// tagFilters are the filters that all of tags match; * stands for any value.
func tagFilters(tags map[string]string) []types.Filter {
	var out []types.Filter
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if tags[key] == "*" {
			out = append(out, types.Filter{Name: sdk.String("tag-key"), Values: []string{key}})
			continue
		}
		out = append(out, types.Filter{Name: sdk.String("tag:" + key), Values: []string{tags[key]}})
	}
	return out
}

// said writes tags as key=value, sorted.
func said(tags map[string]string) string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, key+"="+tags[key])
	}
	return strings.Join(out, ",")
}
