package aws

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync/atomic"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// TypesAPI is what an Inventory asks EC2.
type TypesAPI interface {
	DescribeInstanceTypes(ctx context.Context, in *ec2.DescribeInstanceTypesInput, opts ...func(*ec2.Options)) (*ec2.DescribeInstanceTypesOutput, error)
	DescribeInstanceTypeOfferings(ctx context.Context, in *ec2.DescribeInstanceTypeOfferingsInput, opts ...func(*ec2.Options)) (*ec2.DescribeInstanceTypeOfferingsOutput, error)
}

// An Inventory is the instance types of a region, and which of its zones have
// them. Readers take no lock and never wait for the network. It is empty until
// Refresh has succeeded once.
type Inventory struct {
	// Region that API answers for.
	Region string
	// API is the client.
	API TypesAPI
	// Unreadable, if set, is told by Refresh of each instance type that it leaves
	// out because EC2's answer about it cannot be read; the error names the type.
	Unreadable func(error)

	current atomic.Pointer[stock]
}

// A stock is one generation of an Inventory; its address is its identity.
type stock struct {
	types []TypeInfo // sorted by name, without those that cannot be a node
	// unreadable names the types that EC2 has and that are left out, sorted.
	unreadable []string
}

// Types returns the instance types, sorted by name; nil before the first
// Refresh. They are read-only.
func (i *Inventory) Types() []TypeInfo {
	if s := i.current.Load(); s != nil {
		return s.types
	}
	return nil
}

// Refresh fetches everything, and then swaps it in. On an error the old
// generation stays. If EC2 says the same as before, the old generation stays as
// well, and with it the catalogs made of it. A type that cannot be read is left
// out (see Unreadable) and stops no other; that none can be read is an error.
func (i *Inventory) Refresh(ctx context.Context) error {
	infos, err := i.describe(ctx)
	if err != nil {
		return fmt.Errorf("refreshing instance types: %w", err)
	}
	zones, err := i.zonesByType(ctx)
	if err != nil {
		return fmt.Errorf("refreshing instance types: %w", err)
	}
	readable, unreadable, err := i.read(infos)
	if err != nil {
		return fmt.Errorf("refreshing instance types: %w", err)
	}
	branches := map[string]int64{}
	for _, t := range EmbeddedTypes() {
		branches[t.Name] = t.BranchENIs
	}
	next := &stock{unreadable: unreadable}
	for _, t := range readable {
		if !t.Supported() {
			next.unreadable = append(next.unreadable, t.Name)
			continue
		}
		t.BranchENIs = branches[t.Name]
		if t.ZoneIDs = zones[t.Name]; len(t.ZoneIDs) > 0 {
			t.Regions = []string{i.Region}
		} else {
			t.Regions = []string{} // known: in none of our zones
		}
		next.types = append(next.types, t)
	}
	slices.SortFunc(next.types, func(a, b TypeInfo) int { return cmp.Compare(a.Name, b.Name) })
	slices.Sort(next.unreadable)
	if old := i.current.Load(); old == nil || !reflect.DeepEqual(old, next) {
		i.current.Store(next)
	}
	return nil
}

// read reads the types that can be read, and names the others.
func (i *Inventory) read(infos []types.InstanceTypeInfo) (readable []TypeInfo, unreadable []string, err error) {
	var failed []error
	for _, info := range infos {
		t, err := TypeInfoFromEC2(info)
		if err != nil {
			failed = append(failed, err)
			unreadable = append(unreadable, string(info.InstanceType))
			continue
		}
		readable = append(readable, t)
	}
	if len(failed) > 0 && len(readable) == 0 {
		return nil, nil, fmt.Errorf("none of %d can be read, the first: %w", len(infos), failed[0])
	}
	if i.Unreadable != nil {
		for _, err := range failed {
			i.Unreadable(err)
		}
	}
	return readable, unreadable, nil
}

// describe asks for the types that a node can run on.
func (i *Inventory) describe(ctx context.Context) ([]types.InstanceTypeInfo, error) {
	pages := ec2.NewDescribeInstanceTypesPaginator(i.API, &ec2.DescribeInstanceTypesInput{
		MaxResults: sdk.Int32(100),
		Filters: []types.Filter{
			{Name: sdk.String("supported-virtualization-type"), Values: []string{"hvm"}},
			{Name: sdk.String("processor-info.supported-architecture"), Values: []string{"x86_64", "arm64"}},
		},
	})
	var out []types.InstanceTypeInfo
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("describing instance types: %w", err)
		}
		out = append(out, page.InstanceTypes...)
	}
	return out, nil
}

// zonesByType returns, for each type, the IDs of the zones that have it, sorted.
func (i *Inventory) zonesByType(ctx context.Context) (map[string][]string, error) {
	pages := ec2.NewDescribeInstanceTypeOfferingsPaginator(i.API, &ec2.DescribeInstanceTypeOfferingsInput{
		MaxResults: sdk.Int32(1000), LocationType: types.LocationTypeAvailabilityZoneId,
	})
	out := map[string][]string{}
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("describing where instance types are offered: %w", err)
		}
		for _, o := range page.InstanceTypeOfferings {
			out[string(o.InstanceType)] = append(out[string(o.InstanceType)], sdk.ToString(o.Location))
		}
	}
	for _, ids := range out {
		slices.Sort(ids)
	}
	return out, nil
}
