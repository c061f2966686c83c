package ec2sim

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A template is a launch template with one version: nothing here makes a second.
type template struct {
	id, name string
	// token and digest tell a repeated request from another of the same name.
	token, digest    string
	created, visible time.Time
	tags             map[string]string // of the template
	spec             spec
}

// A spec is what an instance is launched from: a template's data or a
// RunInstances request, with what a fleet's override says on top.
type spec struct {
	image, instanceType, subnet, zone string // zone only from an override
	profile                           string // name
	groups                            []string
	userData                          []byte
	disks                             map[string]int    // sizes in GiB by device
	tags                              map[string]string // of the instance
	tagsSpot                          bool              // tags a spot request, which an on-demand launch refuses
	hopLimit, tokens                  string            // of the metadata service
	preference, target                string            // of capacity reservations
	market                            string            // "" is on demand or as a fleet says
	interfaces                        []networkInterface
	nested, enclaves                  bool   // virtualization, Nitro Enclaves
	group                             string // the placement group's ID; "" for none
	partition                         int    // of it; 0 for any
	tenancy                           string // dedicated, or "" for hardware that is shared
}

// templateName is what EC2 lets a name be. The slash matters: Karpenter's names
// have one.
var templateName = regexp.MustCompile(`^[a-zA-Z0-9().\-/_]{3,128}$`)

// maxUserData is the limit of user data before base64.
const maxUserData = 16384

// readSpec reads what launch template data and RunInstances have in common.
func readSpec(p params) (spec, error) {
	sp := spec{image: p.str("ImageId"), instanceType: p.str("InstanceType"), subnet: p.str("SubnetId"), disks: map[string]int{},
		groups: p.list("SecurityGroupId"), hopLimit: p.sub("MetadataOptions").str("HttpPutResponseHopLimit"), tokens: p.sub("MetadataOptions").str("HttpTokens")}
	reservations := p.sub("CapacityReservationSpecification")
	sp.preference, sp.target = reservations.str("CapacityReservationPreference"), reservations.sub("CapacityReservationTarget").str("CapacityReservationId")
	sp.market = p.sub("InstanceMarketOptions").str("MarketType")
	var err error
	if err := sp.readPlacement(p.sub("Placement")); err != nil {
		return sp, err
	}
	// A profile is named, or told by its ARN, which ends in the name.
	sp.profile = p.sub("IamInstanceProfile").str("Name")
	if arn := p.sub("IamInstanceProfile").str("Arn"); arn != "" {
		sp.profile = arn[strings.LastIndex(arn, "/")+1:]
	}
	if sp.userData, err = base64.StdEncoding.DecodeString(p.str("UserData")); err != nil {
		return sp, fail("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.")
	}
	if len(sp.userData) > maxUserData {
		return sp, fail("InvalidParameterValue", "User data is limited to %d bytes", maxUserData)
	}
	for _, d := range p.each("BlockDeviceMapping") {
		if sp.disks[d.str("DeviceName")], err = d.sub("Ebs").integer("VolumeSize", 0); err != nil {
			return sp, err
		}
	}
	if err := sp.readInterfaces(p); err != nil {
		return sp, err
	}
	sp.nested = p.sub("CpuOptions").str("NestedVirtualization") == "enabled"
	sp.enclaves = p.sub("EnclaveOptions").boolean("Enabled")
	tags, err := p.tagsFor("TagSpecification", "instance", "volume", "network-interface", "spot-instances-request", "elastic-gpu")
	if err != nil {
		return sp, err
	}
	sp.tags = tags["instance"]
	// Only whether there are such tags matters: there are no spot requests to carry them.
	_, sp.tagsSpot = tags["spot-instances-request"]
	return sp, nil
}

// A wireTemplate is a launch template as EC2 tells it, without its data.
type wireTemplate struct {
	ID        string `xml:"launchTemplateId"`
	Name      string `xml:"launchTemplateName"`
	Created   string `xml:"createTime"`
	CreatedBy string `xml:"createdBy"`
	Default   int    `xml:"defaultVersionNumber"`
	Latest    int    `xml:"latestVersionNumber"`
	Tags      []tag  `xml:"tagSet>item"`
}

// wireTemplate spells a template. It has one version, the default and the latest.
func (s *Server) wireTemplate(t *template) wireTemplate {
	return wireTemplate{t.id, t.name, stamp(t.created), "arn:aws:iam::" + s.opts.Account + ":root", 1, 1, tagSet(t.tags)}
}

// A oneTemplate is the answer to what makes or deletes one.
type oneTemplate struct {
	Template wireTemplate `xml:"launchTemplate"`
}

// createLaunchTemplate keeps what instances are launched from. As in life it does not
// look whether image, groups or profile exist: the launch does. A request that is
// repeated under its token is no second template.
func (s *Server) createLaunchTemplate(p params) (any, error) {
	name, err := p.need("LaunchTemplateName")
	if err != nil {
		return nil, err
	}
	if !templateName.MatchString(name) {
		return nil, fail("InvalidLaunchTemplateName.MalformedException", "Launch template names must have 3 to 128 characters of letters, digits and ( ) . - / _, not %q", name)
	}
	if !p.sub("LaunchTemplateData").present() {
		return nil, fail("MissingParameter", "The request must contain the parameter LaunchTemplateData")
	}
	sp, err := readSpec(p.sub("LaunchTemplateData"))
	if err != nil {
		return nil, err
	}
	tags, err := p.tagsFor("TagSpecification", "launch-template")
	if err != nil {
		return nil, err
	}
	token, digest := p.str("ClientToken"), p.digest()
	// Whether the template is visible yet is no matter here: a name is taken before
	// Describe calls tell of it.
	if old, ok := s.templates[name]; ok {
		switch {
		case token == "" || old.token != token:
			return nil, fail("InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use.")
		case old.digest != digest:
			return nil, errMismatch
		}
		return oneTemplate{s.wireTemplate(old)}, nil
	}
	if p.boolean("DryRun") {
		return nil, errDryRun
	}
	t := &template{id: s.id("lt-0", 16), name: name, token: token, digest: digest, created: now(), tags: orEmpty(tags["launch-template"]), spec: sp,
		visible: now().Add(s.faults.lag)}
	s.templates[name] = t
	return oneTemplate{s.wireTemplate(t)}, nil
}

// errMismatch refuses a token that stands for another request already.
var errMismatch = &apiError{"IdempotentParameterMismatch", "The client token that was provided was used before with other parameters."}

// digest is the request itself, in a form that two equal requests share.
func (p params) digest() string { return p.form.Encode() }

// findTemplate finds a visible template by ID or by name.
func (s *Server) findTemplate(id, name string) (*template, error) {
	for _, t := range s.templates {
		// At most one matches: IDs and names are unique. So the order of the map is no matter.
		if (id == "" || t.id == id) && (name == "" || t.name == name) && !now().Before(t.visible) {
			return t, nil
		}
	}
	if name != "" {
		return nil, fail("InvalidLaunchTemplateName.NotFoundException", "The specified launch template, with template name %s, does not exist.", name)
	}
	return nil, fail("InvalidLaunchTemplateId.NotFound", "The specified launch template, with template ID %s, does not exist.", id)
}

// oneTemplate finds the template that a request names by ID or by name.
func (s *Server) oneTemplate(p params) (*template, error) {
	id, name := p.str("LaunchTemplateId"), p.str("LaunchTemplateName")
	if (id == "") == (name == "") {
		return nil, fail("MissingParameter", "Exactly one of LaunchTemplateId and LaunchTemplateName must be specified")
	}
	return s.findTemplate(id, name)
}

// namedTemplate finds the template that a specification in a request names, and
// refuses a version that it has not.
func (s *Server) namedTemplate(p params) (*template, error) {
	t, err := s.oneTemplate(p)
	if err != nil {
		return nil, err
	}
	if v := p.str("Version"); !slices.Contains([]string{"", "1", "$Latest", "$Default"}, v) {
		return nil, fail("InvalidLaunchTemplateId.VersionNotFound", "Could not find the specified version %s for the launch template with ID %s.", v, t.id)
	}
	return t, nil
}

// describeLaunchTemplates tells the templates that are visible. To ask by name or ID
// for one that is not there is an error, by filter it is not.
func (s *Server) describeLaunchTemplates(p params) (any, error) {
	var all []*template
	ids, names := p.list("LaunchTemplateId"), p.list("LaunchTemplateName")
	for _, id := range ids {
		t, err := s.findTemplate(id, "")
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	for _, name := range names {
		t, err := s.findTemplate("", name)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	if len(ids)+len(names) == 0 {
		for _, t := range s.templates {
			if !now().Before(t.visible) {
				all = append(all, t)
			}
		}
	}
	all, err := filter(p, all, fields[*template]{
		"launch-template-name": one(func(t *template) string { return t.name }),
		"create-time":          one(func(t *template) string { return stamp(t.created) }),
	}, func(t *template) map[string]string { return t.tags })
	if err != nil {
		return nil, err
	}
	all, next, err := page(p, all, func(t *template) string { return t.name }, bounds{1, 200, 200})
	if err != nil {
		return nil, err
	}
	out := struct {
		Templates []wireTemplate `xml:"launchTemplates>item"`
		Next      string         `xml:"nextToken,omitempty"`
	}{Next: next}
	for _, t := range all {
		out.Templates = append(out.Templates, s.wireTemplate(t))
	}
	return out, nil
}

// deleteLaunchTemplate deletes at once: a fleet that names it a moment later fails.
func (s *Server) deleteLaunchTemplate(p params) (any, error) {
	t, err := s.oneTemplate(p)
	if err != nil {
		return nil, err
	}
	if p.boolean("DryRun") {
		return nil, errDryRun
	}
	// Instances keep the copy of the data that they were launched with.
	delete(s.templates, t.name)
	return oneTemplate{s.wireTemplate(t)}, nil
}

// Templates are the names of the launch templates that exist, sorted.
func (s *Server) Templates() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.templates {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// orEmpty is a map that can be written to.
func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
