package ec2sim

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// ReservedInstances are machines that the account has paid for in advance. They are a matter of the bill, and
// nothing is launched into them.
type ReservedInstances struct {
	ID, InstanceType string
	// Zone that they are of; empty for the region's.
	Zone  string
	Count int
	// Platform and Tenancy as EC2 has them; empty for Linux/UNIX and default. State is active if empty.
	Platform, Tenancy, State string
	End                      time.Time
}

// A SavingsPlan is so many dollars an hour that the account has committed itself to.
type SavingsPlan struct {
	ID string
	// Type is Compute, EC2Instance, or another, and State active if empty.
	Type, State string
	// Region and Family of an EC2Instance plan.
	Region, Family string
	// Commitment in dollars an hour.
	Commitment string
	// Percent is what its rates are below the on-demand price with Linux. Of a licence nothing is
	// taken off, as with AWS.
	Percent int64
	End     time.Time
}

// Commit replaces what the account has committed itself to.
func (s *Server) Commit(reserved []ReservedInstances, plans []SavingsPlan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.world.ReservedInstances, s.world.SavingsPlans = reserved, plans
}

// The wire form of Reserved Instances.
type wireReservedInstances struct {
	ID        string       `xml:"reservedInstancesId"`
	Type      string       `xml:"instanceType"`
	Zone      string       `xml:"availabilityZone,omitempty"`
	Scope     string       `xml:"scope"`
	Count     int          `xml:"instanceCount"`
	Product   string       `xml:"productDescription"`
	Tenancy   string       `xml:"instanceTenancy"`
	State     string       `xml:"state"`
	End       string       `xml:"end,omitempty"`
	Offering  string       `xml:"offeringType"`
	Class     string       `xml:"offeringClass"`
	Fixed     float32      `xml:"fixedPrice"`
	Usage     float32      `xml:"usagePrice"`
	Recurring []wireCharge `xml:"recurringCharges>item"`
}

// A wireCharge comes again, whether anything runs or not.
type wireCharge struct {
	Amount    float64 `xml:"amount"`
	Frequency string  `xml:"frequency"`
}

// describeReservedInstances tells those of the region. EC2 has no pages of them.
func (s *Server) describeReservedInstances(p params) (any, error) {
	chosen, err := choose(p.list("ReservedInstancesId"), s.world.ReservedInstances, func(r ReservedInstances) string { return r.ID },
		"InvalidReservedInstancesId", "The ReservedInstances ID '%s' does not exist")
	if err != nil {
		return nil, err
	}
	chosen, err = filter(p, chosen, fields[ReservedInstances]{
		"state":         one(func(r ReservedInstances) string { return cmp.Or(r.State, "active") }),
		"instance-type": one(func(r ReservedInstances) string { return r.InstanceType }),
	}, nil)
	if err != nil {
		return nil, err
	}
	var out struct {
		All []wireReservedInstances `xml:"reservedInstancesSet>item"`
	}
	for _, r := range chosen {
		w := wireReservedInstances{
			ID: r.ID, Type: r.InstanceType, Zone: r.Zone, Scope: "Region", Count: r.Count, Product: cmp.Or(r.Platform, "Linux/UNIX"), Tenancy: cmp.Or(r.Tenancy, "default"),
			State: cmp.Or(r.State, "active"), Offering: "Partial Upfront", Class: "standard", Fixed: 250, Recurring: []wireCharge{{0.028, "Hourly"}},
		}
		if r.Zone != "" {
			w.Scope = "Availability Zone"
		}
		if !r.End.IsZero() {
			w.End = stamp(r.End)
		}
		out.All = append(out.All, w)
	}
	return out, nil
}

// A planQuery is a request to Savings Plans.
type planQuery struct {
	SavingsPlanID string   `json:"savingsPlanId"`
	States        []string `json:"states"`
	Filters       []struct {
		Name   string   `json:"name"`
		Values []string `json:"values"`
	} `json:"filters"`
	NextToken  string `json:"nextToken"`
	MaxResults int    `json:"maxResults"`
}

// serveSavingsPlans answers the two operations that say what there is and at which rates.
func (s *Server) serveSavingsPlans(q request) (any, error) {
	var in planQuery
	if err := json.Unmarshal(q.body, &in); err != nil {
		return nil, fail("ValidationException", "reading the request: %v", err)
	}
	switch q.action {
	case "DescribeSavingsPlans":
		var all []any
		for _, p := range s.world.SavingsPlans {
			if len(in.States) == 0 || slices.Contains(in.States, cmp.Or(p.State, "active")) {
				all = append(all, s.wirePlan(p))
			}
		}
		return paged(in, "savingsPlans", all)
	case "DescribeSavingsPlanRates":
		for _, p := range s.world.SavingsPlans {
			if p.ID == in.SavingsPlanID {
				return paged(in, "searchResults", s.planRates(p, in))
			}
		}
		return nil, fail("ResourceNotFoundException", "There is no Savings Plan %s.", in.SavingsPlanID)
	}
	return nil, fail("ValidationException", "The operation %s is not simulated", q.action)
}

// paged is the page of a list that is asked for: of two where nobody says how many, and of five at the most, since
// AWS may send fewer than it is asked for. The token is an index.
func paged(in planQuery, name string, all []any) (any, error) {
	from, size := 0, 2
	if in.MaxResults > 0 {
		size = min(in.MaxResults, 5)
	}
	if in.NextToken != "" {
		raw, err := base64.StdEncoding.DecodeString(in.NextToken)
		if err == nil {
			from, err = strconv.Atoi(string(raw))
		}
		if err != nil || from > len(all) {
			return nil, fail("ValidationException", "The token is not one of ours")
		}
	}
	to := min(from+size, len(all))
	out := map[string]any{name: all[from:to]}
	if to < len(all) {
		out["nextToken"] = base64.StdEncoding.EncodeToString([]byte(strconv.Itoa(to)))
	}
	return out, nil
}

func (s *Server) wirePlan(p SavingsPlan) any {
	out := map[string]any{
		"savingsPlanId": p.ID, "savingsPlanArn": "arn:aws:savingsplans::" + s.opts.Account + ":savingsplan/" + p.ID, "savingsPlanType": p.Type,
		"state": cmp.Or(p.State, "active"), "currency": s.currency(), "commitment": p.Commitment, "paymentOption": "No Upfront",
		"termDurationInSeconds": 31536000,
	}
	if !p.End.IsZero() {
		out["end"] = stamp(p.End)
	}
	if p.Type == "EC2Instance" {
		out["region"], out["ec2InstanceFamily"] = p.Region, p.Family
	}
	return out
}

// planRates lists the rates of a plan that pass the filters: in the region and another, with several systems, and of
// machines on shared and on dedicated hardware.
func (s *Server) planRates(p SavingsPlan, in planQuery) (all []any) {
	for _, t := range s.types {
		price, ok := s.price(t.pool(s.world.Zones[0].Name, cloudprovider.OnDemand))
		family, _, _ := strings.Cut(t.Name, ".")
		if !ok || p.Family != "" && p.Family != family {
			continue
		}
		rate := price * (100 - p.Percent) / 100
		for _, r := range []struct {
			region, usage, tenancy, product, operation string
			rate                                       int64
		}{
			{s.opts.Region, "BoxUsage", "shared", "Linux/UNIX", "RunInstances", rate},
			{s.opts.Region, "BoxUsage", "shared", "Windows", "RunInstances:0002", rate + t.windowsLicence()},
			{s.opts.Region, "BoxUsage", "shared", "Red Hat Enterprise Linux", "RunInstances:0010", rate + 60_000},
			{s.opts.Region, "DedicatedUsage", "dedicated", "Linux/UNIX", "RunInstances", rate * 106 / 100},
			{s.opts.Region, "UnusedBox", "shared", "Linux/UNIX", "RunInstances", rate + 1},
			{"sa-east-1", "SAE1-BoxUsage", "shared", "Linux/UNIX", "RunInstances", rate * 2},
		} {
			is := map[string]string{"region": r.region, "instanceType": t.Name, "instanceFamily": family, "productDescription": r.product, "tenancy": r.tenancy,
				"serviceCode": "AmazonEC2", "usageType": r.usage + ":" + t.Name, "operation": r.operation, "productType": "EC2"}
			passes := true
			for _, f := range in.Filters {
				passes = passes && slices.Contains(f.Values, is[f.Name])
			}
			if !passes {
				continue
			}
			var properties []map[string]string
			for _, name := range []string{"region", "instanceType", "instanceFamily", "productDescription", "tenancy"} {
				properties = append(properties, map[string]string{"name": name, "value": is[name]})
			}
			all = append(all, map[string]any{
				"rate": strconv.FormatFloat(float64(r.rate)/1e6, 'f', 10, 64), "currency": s.currency(), "unit": "Hrs", "productType": "EC2",
				"serviceCode": "AmazonEC2", "usageType": is["usageType"], "operation": r.operation, "properties": properties,
			})
		}
	}
	return all
}
