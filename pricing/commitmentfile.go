package pricing

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// An entry is a commitment as a file has it; docs/commitments.md says what the fields mean.
type entry struct {
	Name           string            `json:"name"`
	Kind           CommitmentKind    `json:"kind"`
	Region         string            `json:"region"`
	Family         string            `json:"family"`
	InstanceType   string            `json:"instanceType"`
	Zone           string            `json:"zone"`
	Platform       string            `json:"platform"`
	Tenancy        string            `json:"tenancy"`
	SizeFlexible   *bool             `json:"sizeFlexible"`
	Count          int64             `json:"count"`
	DollarsPerHour number            `json:"dollarsPerHour"`
	Discount       string            `json:"discount"`
	Rates          map[string]number `json:"rates"`
	WindowsRates   map[string]number `json:"windowsRates"`
	UsedElsewhere  number            `json:"usedElsewhere"`
	End            string            `json:"end"`
}

// A number is kept as it is written, bare or between quotation marks.
type number string

// UnmarshalJSON takes a number or a string.
func (n *number) UnmarshalJSON(text []byte) error {
	if bytes.HasPrefix(text, []byte(`"`)) {
		return json.Unmarshal(text, (*string)(n))
	}
	var bare json.Number
	if err := json.Unmarshal(text, &bare); err != nil {
		return err
	}
	*n = number(bare)
	return nil
}

// maxCount is the most Reserved Instances that one entry may have.
const maxCount = 1_000_000

// linux, windows and shared are the platforms and the tenancy of the nodes that there are.
const linux, windows, shared = "Linux/UNIX", "Windows", "default"

// platforms of Reserved Instances, as DescribeReservedInstances has them, without those for a VPC.
var platforms = []string{linux, "SUSE Linux", "Red Hat Enterprise Linux", "Red Hat Enterprise Linux with HA", windows, "Windows with SQL Server Standard",
	"Windows with SQL Server Web", "Windows with SQL Server Enterprise", "Linux with SQL Server Standard", "Linux with SQL Server Web", "Linux with SQL Server Enterprise"}

// A Reading is what a source says of commitments.
type Reading struct {
	// Commitments that count in a region at a time.
	Commitments Commitments
	// LeftOut are the others: those of other regions, that have ended, or that are for other machines than
	// there are. Each is a line that begins with the name and says why.
	LeftOut []string
}

// leaveOut notes one that does not count.
func (r *Reading) leaveOut(name, why string) { r.LeftOut = append(r.LeftOut, name+": "+why) }

// ReadCommitments reads the commitments of a file, YAML or JSON. All of them are checked. Errors begin
// with name, which is the file's, and name entry and field.
func ReadCommitments(r io.Reader, name, region string, now time.Time) (*Reading, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if strings.Contains(strings.TrimPrefix(strings.TrimSpace(string(text)), "---"), "\n---") {
		return nil, fmt.Errorf("%s: it has more than one document: one list is wanted", name)
	}
	document, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var list struct {
		Commitments []json.RawMessage `json:"commitments"`
	}
	if err := strictly(document, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if list.Commitments == nil {
		return nil, fmt.Errorf("%s: commitments: is missing: a list is wanted, which may be []", name)
	}
	all := &Reading{}
	seen := map[string]bool{}
	for i, raw := range list.Commitments {
		var e entry
		err := strictly(raw, &e)
		if err == nil && seen[e.Name] {
			err = wrong("name", "%q is there already", e.Name)
		}
		var c Commitment
		if err == nil {
			seen[e.Name] = true
			c, err = e.commitment()
		}
		if err != nil {
			at := fmt.Sprintf("commitments[%d]", i)
			if e.Name != "" {
				at += fmt.Sprintf(" (%s)", e.Name)
			}
			return nil, fmt.Errorf("%s: %s: %w", name, at, err)
		}
		if why := e.useless(region, now); why != "" {
			all.leaveOut(e.Name, why)
			continue
		}
		all.Commitments = append(all.Commitments, c)
	}
	return all, nil
}

// strictly reads JSON, and refuses fields that are not known.
func strictly(document []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(document))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if bad, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return wrong(cmp.Or(bad.Field, "the file"), "%s is not expected here", bad.Value)
	}
	if err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// wrong is what is the matter with a field.
func wrong(field, format string, args ...any) error {
	return errors.New(field + ": " + fmt.Sprintf(format, args...))
}

// useless says why the commitment is of no use to nodes of a region at a time; "" if it is of use.
func (e *entry) useless(region string, now time.Time) string {
	end, _ := e.end() // it has been read
	switch {
	case e.Kind != ComputeSavingsPlan && e.Region != region:
		return fmt.Sprintf("it is for region %s, and this is %s", e.Region, region)
	case e.Kind == ReservedInstance && e.platform() != linux && e.platform() != windows:
		return fmt.Sprintf("it is for %s, which no node has", e.Platform)
	case e.Kind == ReservedInstance && cmp.Or(e.Tenancy, shared) != shared:
		return "it is for dedicated machines, for which none is counted"
	case term{end: end}.over(now):
		return "it has ended " + end.UTC().Format(time.RFC3339)
	}
	return ""
}

// platform is that of Reserved Instances. Whether they were bought for a VPC is the same to everybody.
func (e *entry) platform() string {
	return strings.TrimSuffix(cmp.Or(e.Platform, linux), " (Amazon VPC)")
}

// end is the time from which it does not count; zero if there is none.
func (e *entry) end() (at time.Time, err error) {
	if e.End == "" {
		return at, nil
	}
	if at, err = time.Parse(time.DateOnly, e.End); err != nil {
		at, err = time.Parse(time.RFC3339, e.End)
	}
	if err != nil {
		return at, wrong("end", "%q is neither a day such as 2027-03-01 nor a time such as 2027-03-01T00:00:00Z", e.End)
	}
	return at, nil
}

// commitment checks what is written, and returns what it means.
func (e *entry) commitment() (c Commitment, err error) {
	switch {
	case e.Name == "":
		return Commitment{}, wrong("name", "is missing")
	case !slices.Contains(commitmentKinds, e.Kind):
		return Commitment{}, wrong("kind", "%q is none of %s, %s and %s", e.Kind, ReservedInstance, EC2InstanceSavingsPlan, ComputeSavingsPlan)
	}
	if err := e.misplaced(); err != nil {
		return Commitment{}, err
	}
	end, err := e.end()
	if err != nil {
		return Commitment{}, err
	}
	if e.Kind == ReservedInstance {
		c, err = e.reserved()
	} else {
		c, err = e.plan()
	}
	c.terms = []term{{c.Amount, end}}
	return c, err
}

// misplaced names a field that the kind does not have, or lacks.
func (e *entry) misplaced() error {
	plan, ri := e.Kind != ReservedInstance, e.Kind == ReservedInstance
	for _, f := range []struct {
		name      string
		has       bool
		may, must bool
	}{
		{"region", e.Region != "", e.Kind != ComputeSavingsPlan, true},
		{"family", e.Family != "", e.Kind == EC2InstanceSavingsPlan, true},
		{"instanceType", e.InstanceType != "", ri, true},
		{"zone", e.Zone != "", ri, false},
		{"platform", e.Platform != "", ri, false},
		{"tenancy", e.Tenancy != "", ri, false},
		{"sizeFlexible", e.SizeFlexible != nil, ri, false},
		{"count", e.Count != 0, ri, true},
		{"dollarsPerHour", e.DollarsPerHour != "", plan, true},
		{"discount", e.Discount != "", plan, false},
		{"rates", e.Rates != nil, plan, false},
		{"windowsRates", e.WindowsRates != nil, plan, false},
	} {
		switch {
		case f.has && !f.may:
			return wrong(f.name, "a commitment of kind %s has none", e.Kind)
		case !f.has && f.may && f.must:
			return wrong(f.name, "is missing")
		}
	}
	return nil
}

// plan reads a Savings Plan.
func (e *entry) plan() (Commitment, error) {
	c := Commitment{Name: e.Name, Kind: e.Kind, Family: e.Family, discount: -1, rates: map[System]map[string]MicroUSD{}}
	if strings.Contains(e.Family, ".") {
		return c, wrong("family", "%q is an instance type, not a family such as m5", e.Family)
	}
	dollars, err := ParseMicroUSD(string(e.DollarsPerHour))
	if err != nil {
		return c, wrong("dollarsPerHour", "%v", err)
	}
	used, err := ParseAmount(cmp.Or(string(e.UsedElsewhere), "0"))
	if err != nil {
		return c, wrong("usedElsewhere", "%v", err)
	}
	c.Amount = max(0, int64(dollars-used))
	if e.Discount == "" && len(e.Rates) == 0 && len(e.WindowsRates) == 0 {
		return c, wrong("discount", "is missing, and there are no rates: one of them says what the plan's hours cost")
	}
	if e.Discount != "" {
		percent, ok := strings.CutSuffix(e.Discount, "%")
		d, err := ParseAmount(percent)
		if !ok || err != nil || d >= 100*million {
			return c, wrong("discount", "%q is not a percentage below 100%%, such as 27%%", e.Discount)
		}
		c.discount = int64(d) / 100
	}
	if c.rates[Linux], err = rates("rates", e.Rates); err == nil {
		c.rates[Windows], err = rates("windowsRates", e.WindowsRates)
	}
	return c, err
}

// rates reads a field of rates by instance type.
func rates(field string, written map[string]number) (map[string]MicroUSD, error) {
	read := map[string]MicroUSD{}
	for _, kind := range slices.Sorted(maps.Keys(written)) {
		rate, err := ParseMicroUSD(string(written[kind]))
		if err != nil {
			return nil, wrong(field+"["+kind+"]", "%v", err)
		}
		read[kind] = rate
	}
	return read, nil
}

// reserved reads Reserved Instances.
func (e *entry) reserved() (Commitment, error) {
	c := Commitment{Name: e.Name, Kind: e.Kind, InstanceType: e.InstanceType, Zone: e.Zone}
	family, size, ok := strings.Cut(e.InstanceType, ".")
	regional := e.Zone == "" && e.platform() == linux && cmp.Or(e.Tenancy, shared) == shared
	switch {
	case !ok:
		return c, wrong("instanceType", "%q is not an instance type, such as m5.large", e.InstanceType)
	case e.Zone != "" && !strings.HasPrefix(e.Zone, e.Region):
		return c, wrong("zone", "%q is not a zone of region %s", e.Zone, e.Region)
	case !slices.Contains(platforms, e.platform()):
		return c, wrong("platform", "%q is none of %s", e.Platform, strings.Join(platforms, ", "))
	case !slices.Contains([]string{shared, "dedicated"}, cmp.Or(e.Tenancy, shared)):
		return c, wrong("tenancy", "%q is neither default nor dedicated", e.Tenancy)
	case e.Count < 1 || e.Count > maxCount:
		return c, wrong("count", "%d is not between 1 and %d", e.Count, maxCount)
	case e.SizeFlexible != nil && *e.SizeFlexible && (!regional || quarters(size) == 0):
		return c, wrong("sizeFlexible", "only Reserved Instances of a region are, for %s on shared hardware, and not those of bare metal", linux)
	}
	used, err := ParseAmount(cmp.Or(string(e.UsedElsewhere), "0"))
	if err != nil {
		return c, wrong("usedElsewhere", "%q is not a number of machines", e.UsedElsewhere)
	}
	if e.platform() == windows {
		c.system = Windows
	}
	each := int64(1)
	if e.SizeFlexible != nil && *e.SizeFlexible || e.SizeFlexible == nil && regional && flexible(e.InstanceType) {
		c.Family, each = family, quarters(size)
	}
	// Of what is used in part, the rest of a machine is of no use to one that must match whole.
	c.Amount = max(0, e.Count*each-mulDivUp(int64(used), each, million))
	return c, nil
}
