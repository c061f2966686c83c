package ec2sim

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A profile is an instance profile.
type profile struct {
	// Name is unique in the account, whatever the Path.
	Name, Path, ID string
	Roles          []string // at most one
	Tags           map[string]string
	Created        time.Time
	visible        time.Time // to EC2
}

// arn is the profile's name in the world, its path included.
func (p *profile) arn(account string) string {
	return fmt.Sprintf("arn:aws:iam::%s:instance-profile%s%s", account, p.Path, p.Name)
}

// The wire forms of IAM, which spells names with capitals and lists as members.
type (
	wireIAMProfile struct {
		Path    string       `xml:"Path"`
		Name    string       `xml:"InstanceProfileName"`
		ID      string       `xml:"InstanceProfileId"`
		ARN     string       `xml:"Arn"`
		Created string       `xml:"CreateDate"`
		Roles   []wireRole   `xml:"Roles>member"`
		Tags    []wireIAMTag `xml:"Tags>member"`
	}
	wireRole struct {
		Path    string `xml:"Path"`
		Name    string `xml:"RoleName"`
		ID      string `xml:"RoleId"`
		ARN     string `xml:"Arn"`
		Created string `xml:"CreateDate"`
	}
	wireIAMTag struct {
		Key   string `xml:"Key"`
		Value string `xml:"Value"`
	}
	oneProfile struct {
		Profile wireIAMProfile `xml:"InstanceProfile"`
	}
)

// wireIAMProfile spells a profile; roles and tags are sorted.
func (s *Server) wireIAMProfile(p *profile) wireIAMProfile {
	w := wireIAMProfile{p.Path, p.Name, p.ID, p.arn(s.opts.Account), p.Created.UTC().Format(time.RFC3339), nil, nil}
	for _, r := range p.Roles {
		w.Roles = append(w.Roles, wireRole{"/", r, "AROA" + strings.ToUpper(r), "arn:aws:iam::" + s.opts.Account + ":role/" + r, w.Created})
	}
	for _, k := range slices.Sorted(maps.Keys(p.Tags)) {
		w.Tags = append(w.Tags, wireIAMTag{k, p.Tags[k]})
	}
	return w
}

// profileName is what IAM lets a name be.
var profileName = regexp.MustCompile(`^[\w+=,.@-]{1,128}$`)

// serveIAM answers the instance profile actions, under the lock.
func (s *Server) serveIAM(q request) (any, error) {
	p := params{form: q.form}
	if q.action == "ListInstanceProfiles" {
		return s.listProfiles(p)
	}
	name, err := p.need("InstanceProfileName")
	if err != nil {
		return nil, err
	}
	if q.action == "CreateInstanceProfile" {
		return s.createProfile(p, name)
	}
	found := s.profiles[name]
	if found == nil {
		return nil, fail("NoSuchEntity", "Instance Profile %s cannot be found.", name)
	}
	switch q.action {
	case "GetInstanceProfile":
		return oneProfile{s.wireIAMProfile(found)}, nil
	case "AddRoleToInstanceProfile":
		return nil, s.addRole(found, p.str("RoleName"))
	// IAM lets nobody delete a profile with a role in it, so this comes first; whoever
	// crashes in between leaves a profile without one behind.
	case "RemoveRoleFromInstanceProfile":
		if !slices.Contains(found.Roles, p.str("RoleName")) {
			return nil, fail("NoSuchEntity", "The role with name %s cannot be found in the instance profile.", p.str("RoleName"))
		}
		found.Roles = nil
		return nil, nil
	case "DeleteInstanceProfile":
		if len(found.Roles) > 0 {
			return nil, fail("DeleteConflict", "Cannot delete entity, must remove roles from instance profile first.")
		}
		delete(s.profiles, name)
		return nil, nil
	case "TagInstanceProfile":
		maps.Copy(found.Tags, memberTags(p))
		return nil, nil
	}
	return nil, fail("InvalidAction", "The action %s is not valid for this endpoint.", q.action)
}

// memberTags reads tags as the older Query protocol spells lists.
func memberTags(p params) map[string]string {
	out := map[string]string{}
	for _, t := range p.each("Tags.member") {
		out[t.str("Key")] = t.str("Value")
	}
	return out
}

// createProfile makes a profile without a role. EC2 does not see it before the lag
// is over, which is where controllers that launch at once fail in life.
func (s *Server) createProfile(p params, name string) (any, error) {
	if !profileName.MatchString(name) {
		return nil, fail("ValidationError", "The specified value for instanceProfileName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-")
	}
	// The path is no part of the name's uniqueness: two clusters of one account collide
	// if they do not put their own name into it.
	if s.profiles[name] != nil {
		return nil, fail("EntityAlreadyExists", "Instance Profile %s already exists.", name)
	}
	path := p.str("Path")
	if path == "" {
		path = "/"
	}
	if !strings.HasPrefix(path, "/") || !strings.HasSuffix(path, "/") {
		return nil, fail("ValidationError", "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.")
	}
	// IAM itself sees the profile at once; visible is about EC2.
	created := &profile{Name: name, Path: path, ID: s.id("AIPA", 16), Tags: memberTags(p), Created: now(), visible: now().Add(s.faults.lag)}
	s.profiles[name] = created
	return oneProfile{s.wireIAMProfile(created)}, nil
}

// addRole gives a profile its role. It takes one, and no second.
func (s *Server) addRole(p *profile, role string) error {
	switch {
	case !slices.Contains(s.world.Roles, role):
		return fail("NoSuchEntity", "The role with name %s cannot be found.", role)
	case len(p.Roles) > 0:
		return fail("LimitExceeded", "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1")
	}
	p.Roles = []string{role}
	return nil
}

// listProfiles lists by name below a path; the marker is the last name of a page.
func (s *Server) listProfiles(p params) (any, error) {
	out := struct {
		Profiles  []wireIAMProfile `xml:"InstanceProfiles>member"`
		Truncated bool             `xml:"IsTruncated"`
		Marker    string           `xml:"Marker,omitempty"`
	}{}
	limit, err := p.integer("MaxItems", 100)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(s.profiles)) {
		found := s.profiles[name]
		// By name, and not by when they were made: the marker must mean the same place
		// though profiles come and go between two pages.
		if !strings.HasPrefix(found.Path, p.str("PathPrefix")) || name <= p.str("Marker") {
			continue
		}
		if len(out.Profiles) == limit {
			out.Truncated, out.Marker = true, out.Profiles[limit-1].Name
			break
		}
		out.Profiles = append(out.Profiles, s.wireIAMProfile(found))
	}
	return out, nil
}

// InstanceProfiles maps the names of all instance profiles to their roles, ""
// for none.
func (s *Server) InstanceProfiles() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]string{}
	for name, p := range s.profiles {
		out[name] = strings.Join(p.Roles, ",")
	}
	return out
}

// serveSTS answers GetCallerIdentity.
func (s *Server) serveSTS(q request) (any, error) {
	// The SDK does not need it; people do, to see that credentials work at all.
	if q.action != "GetCallerIdentity" {
		return nil, fail("InvalidAction", "The action %s is not valid for this endpoint.", q.action)
	}
	return struct {
		ARN     string `xml:"Arn"`
		User    string `xml:"UserId"`
		Account string `xml:"Account"`
	}{"arn:aws:sts::" + s.opts.Account + ":assumed-role/controller/session", "AROASIMULATED:session", s.opts.Account}, nil
}
