package pricing

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
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/savingsplans"
	plantypes "github.com/aws/aws-sdk-go-v2/service/savingsplans/types"
)

// ReservedInstancesAPI is what an Account asks EC2.
type ReservedInstancesAPI interface {
	DescribeReservedInstances(context.Context, *ec2.DescribeReservedInstancesInput, ...func(*ec2.Options)) (*ec2.DescribeReservedInstancesOutput, error)
}

// SavingsPlansAPI is what an Account asks Savings Plans, a service that has one endpoint for all regions of
// a partition, or of China one in each.
type SavingsPlansAPI interface {
	DescribeSavingsPlans(context.Context, *savingsplans.DescribeSavingsPlansInput, ...func(*savingsplans.Options)) (*savingsplans.DescribeSavingsPlansOutput, error)
	DescribeSavingsPlanRates(context.Context, *savingsplans.DescribeSavingsPlanRatesInput, ...func(*savingsplans.Options)) (*savingsplans.DescribeSavingsPlanRatesOutput, error)
}

// An Account reads the commitments of an AWS account. What they cost, at once or each month, is paid whether
// they are used or not, and is not asked.
type Account struct {
	EC2          ReservedInstancesAPI // in Region
	SavingsPlans SavingsPlansAPI
	Region       string
}

// Read asks for the Reserved Instances of the region, and for the Savings Plans with their rates in it, as far as
// they are active; it makes the same of each as of an entry of a file. Those that cover the same are one, named
// after the first. It costs a call for a thousand rates, of which a plan has some thousands in a region.
func (a Account) Read(ctx context.Context, now time.Time) (*Reading, error) {
	out, err := a.EC2.DescribeReservedInstances(ctx, &ec2.DescribeReservedInstancesInput{
		Filters: []ec2types.Filter{{Name: sdk.String("state"), Values: []string{string(ec2types.ReservedInstanceStateActive)}}},
	})
	if err != nil {
		return nil, fmt.Errorf("describing Reserved Instances of %s: %w", a.Region, err)
	}
	all := &Reading{}
	for i := range out.ReservedInstances {
		all.enter(a.reserved(&out.ReservedInstances[i]), a.Region, now)
	}
	plans, err := a.plans(ctx)
	if err != nil {
		return nil, err
	}
	for i := range plans {
		if err := a.enter(ctx, all, &plans[i], now); err != nil {
			return nil, err
		}
	}
	all.Commitments = all.Commitments.united()
	slices.Sort(all.LeftOut)
	return all, nil
}

// enter takes in an entry. One that cannot be read is left out: unlike a file's, nobody can mend it.
func (r *Reading) enter(e entry, region string, now time.Time) {
	c, err := e.commitment()
	if err != nil {
		r.leaveOut(e.Name, err.Error())
	} else if why := e.useless(region, now); why != "" {
		r.leaveOut(e.Name, why)
	} else {
		r.Commitments = append(r.Commitments, c)
	}
}

// reserved is the entry of Reserved Instances. They are EC2's in its region.
func (a Account) reserved(r *ec2types.ReservedInstances) entry {
	e := entry{
		Name: sdk.ToString(r.ReservedInstancesId), Kind: ReservedInstance, Region: a.Region, InstanceType: string(r.InstanceType),
		Platform: string(r.ProductDescription), Tenancy: string(r.InstanceTenancy), Count: int64(sdk.ToInt32(r.InstanceCount)),
	}
	if r.Scope == ec2types.ScopeAvailabilityZone {
		e.Zone = sdk.ToString(r.AvailabilityZone)
	}
	if r.End != nil {
		e.End = r.End.UTC().Format(time.RFC3339)
	}
	return e
}

// plans lists the active Savings Plans, page by page.
func (a Account) plans(ctx context.Context) (all []plantypes.SavingsPlan, err error) {
	in := &savingsplans.DescribeSavingsPlansInput{States: []plantypes.SavingsPlanState{plantypes.SavingsPlanStateActive}}
	for {
		out, err := a.SavingsPlans.DescribeSavingsPlans(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("describing Savings Plans: %w", err)
		}
		all = append(all, out.SavingsPlans...)
		if in.NextToken = out.NextToken; sdk.ToString(in.NextToken) == "" {
			return all, nil
		}
	}
}

// planKinds are the Savings Plans that cover machines.
var planKinds = map[plantypes.SavingsPlanType]CommitmentKind{
	plantypes.SavingsPlanTypeCompute:     ComputeSavingsPlan,
	plantypes.SavingsPlanTypeEc2Instance: EC2InstanceSavingsPlan,
}

// enter takes in a Savings Plan. The rates of one that is of no use are not asked for.
func (a Account) enter(ctx context.Context, all *Reading, p *plantypes.SavingsPlan, now time.Time) error {
	e := entry{Name: sdk.ToString(p.SavingsPlanId), Kind: planKinds[p.SavingsPlanType], DollarsPerHour: number(sdk.ToString(p.Commitment)), End: sdk.ToString(p.End)}
	if e.Kind == EC2InstanceSavingsPlan {
		e.Region, e.Family = sdk.ToString(p.Region), sdk.ToString(p.Ec2InstanceFamily)
	}
	why := ""
	switch {
	case e.Kind == "":
		why = fmt.Sprintf("it is for %s, and covers no machines", p.SavingsPlanType)
	case string(p.Currency) != currency(a.Region):
		why = fmt.Sprintf("it is in %s, and prices here are in %s", p.Currency, currency(a.Region))
	default:
		why = e.useless(a.Region, now)
	}
	if why != "" {
		all.leaveOut(e.Name, why)
		return nil
	}
	rates, err := a.rates(ctx, e.Name)
	if err != nil {
		return err
	}
	if e.Rates, e.WindowsRates = rates[Linux], rates[Windows]; len(e.Rates)+len(e.WindowsRates) == 0 {
		all.leaveOut(e.Name, "it has no rates for machines in "+a.Region)
		return nil
	}
	all.enter(e, a.Region, now)
	return nil
}

// rates asks what an hour of each instance type costs in the region under a Savings Plan, page by page.
func (a Account) rates(ctx context.Context, plan string) (map[System]map[string]number, error) {
	filter := func(name plantypes.SavingsPlanRateFilterName, values ...string) plantypes.SavingsPlanRateFilter {
		return plantypes.SavingsPlanRateFilter{Name: name, Values: values}
	}
	in := &savingsplans.DescribeSavingsPlanRatesInput{
		SavingsPlanId: sdk.String(plan), MaxResults: sdk.Int32(1000),
		Filters: []plantypes.SavingsPlanRateFilter{
			filter(plantypes.SavingsPlanRateFilterNameRegion, a.Region),
			filter(plantypes.SavingsPlanRateFilterNameServiceCode, string(plantypes.SavingsPlanRateServiceCodeEc2)),
			filter(plantypes.SavingsPlanRateFilterNameProductDescription, linux, windows),
		},
	}
	all := map[System]map[string]number{Linux: {}, Windows: {}}
	for {
		out, err := a.SavingsPlans.DescribeSavingsPlanRates(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("describing the rates of Savings Plan %s: %w", plan, err)
		}
		for i := range out.SearchResults {
			r := &out.SearchResults[i]
			if system, kind, ok := rated(r, a.Region); ok {
				all[system][kind] = higher(all[system][kind], number(sdk.ToString(r.Rate)))
			}
		}
		if in.NextToken = out.NextToken; sdk.ToString(in.NextToken) == "" {
			return all, nil
		}
	}
}

// rated is the machine that a rate is for: one that runs on shared hardware in a region, by the hour. Others have
// DedicatedUsage, say, or UnusedBox in place of BoxUsage: "EUC1-BoxUsage:m5.large".
func rated(r *plantypes.SavingsPlanRate, region string) (system System, kind string, ok bool) {
	usage, kind, _ := strings.Cut(sdk.ToString(r.UsageType), ":")
	is := map[plantypes.SavingsPlanRatePropertyKey]string{}
	for _, p := range r.Properties {
		is[p.Name] = sdk.ToString(p.Value)
	}
	product := strings.TrimSuffix(is[plantypes.SavingsPlanRatePropertyKeyProductDescription], " (Amazon VPC)")
	switch cmp.Or(product, operations[sdk.ToString(r.Operation)]) {
	case linux:
	case windows:
		system = Windows
	default:
		return system, kind, false
	}
	// What is asked for in the request may be missing here.
	in, on := is[plantypes.SavingsPlanRatePropertyKeyRegion], is[plantypes.SavingsPlanRatePropertyKeyTenancy]
	return system, kind, kind != "" && (usage == "BoxUsage" || strings.HasSuffix(usage, "-BoxUsage")) &&
		r.Unit == plantypes.SavingsPlanRateUnitHours && (in == "" || in == region) && (on == "" || strings.EqualFold(on, tenancyShared))
}

// operations are what machines with the systems that there are do on the bill.
var operations = map[string]string{"RunInstances": linux, "RunInstances:0002": windows}

// higher is the higher of two rates, as that of two prices is taken: it is the safer. What cannot be
// read goes before, and is refused later.
func higher(a, b number) number {
	x, err := ParseMicroUSD(string(a))
	if y, wrong := ParseMicroUSD(string(b)); a == "" || wrong != nil || err == nil && y > x {
		return b
	}
	return a
}

// united makes one of commitments that cover the same at the same rates, as of plans that were bought one after the
// other: AWS applies them as one, and each has its term. It has the first name, and how many more there are.
func (cs Commitments) united() (all Commitments) {
	slices.SortFunc(cs, func(a, b Commitment) int { return strings.Compare(a.Name, b.Name) })
	more := map[int]int{}
	for _, c := range cs {
		i := slices.IndexFunc(all, func(has Commitment) bool { return has.alike(&c) })
		if i < 0 {
			all = append(all, c)
			continue
		}
		more[i]++
		all[i].Amount += c.Amount
		all[i].terms = append(all[i].terms, c.terms...)
	}
	for i, n := range more {
		all[i].Name += fmt.Sprintf(" and %d more", n)
	}
	return all
}

// alike reports whether two commitments cover the same. Reserved Instances of a family that are flexible in
// size do, whatever size they were bought as.
func (c *Commitment) alike(d *Commitment) bool {
	flexible := c.Kind == ReservedInstance && c.Family != ""
	return c.Kind == d.Kind && c.Family == d.Family && (flexible || c.InstanceType == d.InstanceType) && c.Zone == d.Zone &&
		c.system == d.system && c.discount == d.discount && maps.EqualFunc(c.rates, d.rates, maps.Equal[map[string]MicroUSD, map[string]MicroUSD])
}
