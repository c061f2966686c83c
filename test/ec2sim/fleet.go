package ec2sim

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math"
	"slices"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// A fleet is remembered under its client token: the same request again gets the
// same answer.
type fleet struct {
	digest string
	answer wireFleet
}

// A fleetRequest is a CreateFleet request, read and found to be in order.
type fleetRequest struct {
	// onDemand and spot are how many instances are wanted of each.
	onDemand, spot int
	// kind is what onDemand are: on-demand, or a word for reserved capacity.
	kind         string
	odBy, spotBy string            // the allocation strategies
	candidates   []candidate       // in the order of the request
	tags         map[string]string // of the instances
	// id is the fleet's, made once nothing is refused any more.
	id, token string
}

// A candidate is one override of a fleet: an instance pool to launch from.
type candidate struct {
	template *template
	override params  // as it was written, to be repeated in the answer
	spec     spec    // the template's, with the override on top
	priority float64 // lower is better; what has none comes last
	maxPrice int64   // micro-dollars; 0 for none
	index    int     // in the request: breaks ties
}

// The limits of a CreateFleet request: launch template configurations, overrides
// in all of them together, and characters of the client token.
const (
	maxConfigs   = 50
	maxOverrides = 300
	maxToken     = 64
)

// The allocation strategies, as EC2 spells them.
var (
	spotStrategies     = []string{"lowest-price", "diversified", "capacity-optimized", "capacity-optimized-prioritized", "price-capacity-optimized"}
	onDemandStrategies = []string{"lowest-price", "prioritized"}
)

// createFleet launches what an instant fleet asks for, and answers with instances
// and errors side by side: an answer without any instance is still no error of
// the call.
//
// The token is looked up before anything else, since a repeated request gets the
// first answer even if its template is gone by now. That holds for an answer that
// was all errors, too: who wants another try needs another token.
func (s *Server) createFleet(p params) (any, error) {
	token, digest := p.str("ClientToken"), p.digest()
	if len(token) > maxToken {
		return nil, fail("InvalidParameterValue", "The client token exceeds %d characters", maxToken)
	}
	if old, ok := s.fleets[token]; ok && token != "" {
		if old.digest != digest {
			return nil, errMismatch
		}
		return old.answer, nil
	}
	r, err := s.readFleet(p)
	if err != nil {
		return nil, err
	}
	if p.boolean("DryRun") {
		return nil, errDryRun
	}
	// An ID is drawn only now, so that a refused request does not move the sequence that
	// every later ID comes from.
	r.id, r.token = s.id("fleet-", 8)+"-"+s.id("", 4)+"-"+s.id("", 4)+"-"+s.id("", 4)+"-"+s.id("", 12), token
	answer := wireFleet{ID: r.id}
	// Errors of the one capacity type do not keep the other from being launched: the
	// answer may hold both, and callers have to read both.
	s.fulfil(r, r.kind, r.onDemand, &answer)
	s.fulfil(r, cloudprovider.Spot, r.spot, &answer)
	if token != "" {
		s.fleets[token] = fleet{digest, answer}
	}
	return answer, nil
}

// readFleet refuses what EC2 refuses of a request as a whole. What is wrong with
// one override is found when it is tried, and becomes an error of that override.
func (s *Server) readFleet(p params) (*fleetRequest, error) {
	r := &fleetRequest{}
	// The other types launch in the background and answer with a fleet's ID alone. A
	// caller that forgets the type gets "maintain" in life, which replaces whatever the
	// caller terminates.
	if kind := p.str("Type"); kind != "instant" {
		return nil, fail("UnsupportedOperation", "Fleets of type %q are not simulated, only instant ones", kind)
	}
	if err := r.readTarget(p); err != nil {
		return nil, err
	}
	if err := r.readStrategies(p); err != nil {
		return nil, err
	}
	tags, err := p.tagsFor("TagSpecification", "fleet", "instance", "volume")
	if err != nil {
		return nil, err
	}
	r.tags = tags["instance"]
	configs := p.each("LaunchTemplateConfigs")
	if len(configs) == 0 {
		return nil, fail("MissingParameter", "The request must contain the parameter LaunchTemplateConfigs")
	}
	if len(configs) > maxConfigs {
		return nil, fail("InvalidFleetConfig", "A fleet may have at most %d launch template configurations", maxConfigs)
	}
	for _, c := range configs {
		if err := s.readConfig(r, c); err != nil {
			return nil, err
		}
	}
	if len(r.candidates) > maxOverrides {
		return nil, fail("InvalidFleetConfig", "A fleet may have at most %d launch specifications, not %d", maxOverrides, len(r.candidates))
	}
	return r, s.checkPools(r)
}

// readTarget reads how many instances of which capacity type are wanted.
func (r *fleetRequest) readTarget(p params) error {
	t := p.sub("TargetCapacitySpecification")
	// Asked for by itself, since integer below takes an absent number for 0.
	if _, err := t.need("TotalTargetCapacity"); err != nil {
		return err
	}
	total, err := t.integer("TotalTargetCapacity", 0)
	if err != nil {
		return err
	}
	if total < 1 {
		return fail("InvalidTargetCapacitySpecification", "TotalTargetCapacity must be positive")
	}
	if r.onDemand, err = t.integer("OnDemandTargetCapacity", 0); err != nil {
		return err
	}
	if r.spot, err = t.integer("SpotTargetCapacity", 0); err != nil {
		return err
	}
	// What the two parts leave of the total is of the default type.
	rest := total - r.onDemand - r.spot
	if rest < 0 {
		return fail("InvalidTargetCapacitySpecification", "On-demand and spot capacity together exceed TotalTargetCapacity")
	}
	r.kind = cloudprovider.OnDemand
	switch kind := t.str("DefaultTargetCapacityType"); kind {
	case "", cloudprovider.OnDemand, "capacity-block", "reserved-capacity":
		r.onDemand += rest
		r.kind = cmp.Or(kind, cloudprovider.OnDemand)
	case cloudprovider.Spot:
		r.spot += rest
	default:
		return fail("InvalidParameterValue", "DefaultTargetCapacityType %q is not simulated", kind)
	}
	return nil
}

// readStrategies reads how pools are chosen. Options that would change the outcome
// and are not simulated are refused, rather than ignored.
func (r *fleetRequest) readStrategies(p params) error {
	spot, od := p.sub("SpotOptions"), p.sub("OnDemandOptions")
	r.spotBy, r.odBy = cmp.Or(spot.str("AllocationStrategy"), "lowest-price"), cmp.Or(od.str("AllocationStrategy"), "lowest-price")
	if !slices.Contains(spotStrategies, r.spotBy) {
		return fail("InvalidParameterValue", "Value (%s) for parameter SpotOptions.AllocationStrategy is invalid", r.spotBy)
	}
	if !slices.Contains(onDemandStrategies, r.odBy) {
		return fail("InvalidParameterValue", "Value (%s) for parameter OnDemandOptions.AllocationStrategy is invalid", r.odBy)
	}
	for _, o := range []params{spot, od} {
		for _, name := range []string{"MinTargetCapacity", "SingleInstanceType", "SingleAvailabilityZone", "MaxTotalPrice"} {
			if v := o.str(name); v != "" && v != "false" {
				return fail("UnsupportedOperation", "%s%s is not simulated", o.prefix, name)
			}
		}
	}
	return nil
}

// readConfig reads a launch template and its overrides; no overrides are one that
// overrides nothing.
func (s *Server) readConfig(r *fleetRequest, c params) error {
	t, err := s.namedTemplate(c.sub("LaunchTemplateSpecification"))
	if err != nil {
		return err
	}
	overrides := c.each("Overrides")
	if len(overrides) == 0 {
		overrides = []params{c.sub("Overrides.0")}
	}
	for _, o := range overrides {
		x := candidate{template: t, override: o, spec: t.spec, index: len(r.candidates)}
		if o.sub("InstanceRequirements").present() {
			return fail("UnsupportedOperation", "Attribute-based instance type selection is not simulated")
		}
		x.spec.instanceType = cmp.Or(o.str("InstanceType"), x.spec.instanceType)
		x.spec.image = cmp.Or(o.str("ImageId"), x.spec.image)
		x.spec.subnet = cmp.Or(o.str("SubnetId"), x.spec.subnet)
		x.spec.zone = o.str("AvailabilityZone")
		if x.priority, err = o.number("Priority", math.MaxFloat64); err != nil {
			return err
		}
		dollars, err := o.number("MaxPrice", 0)
		if err != nil {
			return err
		}
		x.maxPrice = int64(math.Round(dollars * 1e6))
		r.candidates = append(r.candidates, x)
	}
	return nil
}

// checkPools refuses two overrides for one pool, and an override whose zone is
// not its subnet's: both make the whole configuration invalid.
func (s *Server) checkPools(r *fleetRequest) error {
	seen := map[[2]string]bool{}
	for i := range r.candidates {
		sp := &r.candidates[i].spec
		if sp.instanceType == "" {
			return fail("MissingParameter", "The request must contain the parameter InstanceType")
		}
		if n, ok := s.world.subnet(sp.subnet); ok {
			// Only a subnet that exists can contradict its zone. One that does not is an error
			// of this override alone, when it is tried.
			if sp.zone != "" && sp.zone != n.Zone {
				return fail("InvalidFleetConfig", "The specified Subnet: %s cannot be used with the specified Availability Zone: %s.", n.ID, sp.zone)
			}
			sp.zone = n.Zone
		}
		// EC2's idea of a pool is type and zone: two subnets of one zone are one pool.
		key := [2]string{sp.instanceType, sp.zone}
		if seen[key] {
			return fail("InvalidFleetConfig", "The fleet configuration contains duplicate instance pools.")
		}
		seen[key] = true
	}
	return nil
}

// fulfil launches n instances from the candidates in the order of the strategy.
// Each candidate that fails is an error once, and is not tried again.
func (s *Server) fulfil(r *fleetRequest, capacityType string, n int, answer *wireFleet) {
	if n == 0 {
		return
	}
	by := r.odBy
	if capacityType == cloudprovider.Spot {
		by = r.spotBy
	}
	// The order is fixed before anything is launched, so that a fleet's choice does not
	// depend on what it has launched already.
	left := s.rank(r.candidates, capacityType, by)
	for n > 0 && len(left) > 0 {
		c := left[0]
		i, err := s.launch(c.spec, capacityType, c.maxPrice)
		if err != nil {
			answer.Errors = append(answer.Errors, wireFleetError{c.wire(), capacityType, asAPIError(err).Code, asAPIError(err).Message})
			left = left[1:]
			continue
		}
		i.tag(r.tags, map[string]string{"aws:ec2:fleet-id": r.id, "aws:ec2launchtemplate:id": c.template.id, "aws:ec2launchtemplate:version": "1"})
		i.token = r.token
		answer.add(c, i)
		// Any other strategy stays with the best pool until it runs short.
		if n--; by == "diversified" {
			left = append(left[1:], c)
		}
	}
}

// rank orders candidates as the allocation strategy prefers them; the order of the
// request breaks ties. A pool without a price comes last.
func (s *Server) rank(all []candidate, capacityType, by string) []candidate {
	type ranked struct {
		candidate
		price, depth int64
	}
	var list []ranked
	for _, c := range all {
		o := cloudprovider.Offering{InstanceType: c.spec.instanceType, Zone: c.spec.zone, CapacityType: capacityType, Tenancy: c.spec.tenancy}
		price, ok := s.price(o)
		if !ok {
			// Last, but small enough that the sum for price-capacity-optimized does not
			// overflow. The launch then refuses it with the words for it.
			price = math.MaxInt64 / 32
		}
		list = append(list, ranked{c, price, s.depth(o)})
	}
	slices.SortStableFunc(list, func(a, b ranked) int {
		var first int
		switch by {
		case "prioritized":
			first = cmp.Compare(a.priority, b.priority)
		case "capacity-optimized":
			first = cmp.Compare(b.depth, a.depth)
		case "capacity-optimized-prioritized": // priorities decide among pools about as deep
			first = cmp.Or(cmp.Compare(b.depth/4, a.depth/4), cmp.Compare(a.priority, b.priority))
		case "price-capacity-optimized": // a shallow pool counts as up to twice as dear
			first = cmp.Compare(a.price+a.price/a.depth, b.price+b.price/b.depth)
		}
		return cmp.Or(first, cmp.Compare(a.price, b.price), cmp.Compare(a.index, b.index))
	})
	out := make([]candidate, len(list))
	for i, r := range list {
		out[i] = r.candidate
	}
	return out
}

// depth is how much spare capacity a pool seems to have, 1 to 10, by the seed. It
// only orders pools, as EC2's own forecast does; a Shortage is what empties one.
func (s *Server) depth(o cloudprovider.Offering) int64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s", s.opts.Seed, o)
	return int64(h.Sum64()%10) + 1
}

// The wire forms of a CreateFleet answer.
type (
	wireFleet struct {
		ID        string           `xml:"fleetId"`
		Errors    []wireFleetError `xml:"errorSet>item"`
		Instances []wireFleetGroup `xml:"fleetInstanceSet>item"`
	}
	wireFleetError struct {
		From      wireFrom `xml:"launchTemplateAndOverrides"`
		Lifecycle string   `xml:"lifecycle"`
		Code      string   `xml:"errorCode"`
		Message   string   `xml:"errorMessage"`
	}
	wireFleetGroup struct {
		From      wireFrom `xml:"launchTemplateAndOverrides"`
		Lifecycle string   `xml:"lifecycle"`
		IDs       []string `xml:"instanceIds>item"`
		Type      string   `xml:"instanceType"`
	}
	wireFrom struct {
		TemplateID string `xml:"launchTemplateSpecification>launchTemplateId"`
		Version    string `xml:"launchTemplateSpecification>version"`
		Type       string `xml:"overrides>instanceType"`
		Subnet     string `xml:"overrides>subnetId,omitempty"`
		Zone       string `xml:"overrides>availabilityZone,omitempty"`
		Image      string `xml:"overrides>imageId,omitempty"`
		Priority   string `xml:"overrides>priority,omitempty"`
	}
)

// wire repeats the override in the answer.
func (c candidate) wire() wireFrom {
	return wireFrom{c.template.id, "1", c.spec.instanceType, c.override.str("SubnetId"), c.spec.zone, c.override.str("ImageId"), c.override.str("Priority")}
}

// bought is the lifecycle in the words of a fleet's answer.
func (i *instance) bought() string { return cmp.Or(i.lifecycle(), cloudprovider.OnDemand) }

// add puts an instance beside the others of its pool.
func (f *wireFleet) add(c candidate, i *instance) {
	from := c.wire()
	for k := range f.Instances {
		if g := &f.Instances[k]; g.From == from && g.Lifecycle == i.bought() {
			g.IDs = append(g.IDs, i.id)
			return
		}
	}
	f.Instances = append(f.Instances, wireFleetGroup{from, i.bought(), []string{i.id}, c.spec.instanceType})
}
