package ec2sim

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// The states of an instance, as EC2 names them.
const (
	Pending      = "pending"
	Running      = "running"
	ShuttingDown = "shutting-down"
	Terminated   = "terminated"
)

// stateCodes are the numbers that EC2 sends beside the names.
var stateCodes = map[string]int{Pending: 0, Running: 16, ShuttingDown: 32, Terminated: 48}

// An instance is a machine. The server's lock guards what changes: state, tags,
// console and the times.
type instance struct {
	// What never changes: from the launch on.
	id, token, reservation string
	offering               cloudprovider.Offering
	kind                   InstanceType
	delays                 Delays // its own, jittered
	image                  Image
	subnet                 Subnet
	spec                   spec
	ip, dns                string // the name is the node's, too
	launched, visible      time.Time

	// What changes, under the server's lock. node is written by the instance's
	// own goroutine only, which may therefore read it without.
	state              string
	ended              time.Time // zero while it is not terminated
	reason, reasonCode string    // of the end
	tags               map[string]string
	console            []string
	node               string // once it has joined
	within             string // the capacity reservation that its machine is from
	gone               bool   // forgotten: Describe calls do not know it

	// stop is closed when the instance begins to shut down.
	stop chan struct{}
}

// An Instance is what a test may know of one.
type Instance struct {
	ID       string
	Offering cloudprovider.Offering
	ImageID  string
	Subnet   string
	// PrivateDNS is the name that the node takes.
	PrivateDNS string
	State      string
	Tags       map[string]string
	Launched   time.Time
	// Ended is when the instance was terminated; zero while it was not.
	Ended time.Time
	// Reason is EC2's code of why it ended; empty while it was not ended.
	Reason string
	// Node is the name of the Node that it joined as; empty before.
	Node string
	// UserData that it was launched with.
	UserData []byte
}

// alive says whether the instance costs money.
func (i *instance) alive() bool { return i.state == Pending || i.state == Running }

// seen says whether Describe calls know the instance.
func (i *instance) seen() bool { return !i.gone && !now().Before(i.visible) }

// tag adds tags; later sets win. The caller holds the lock.
func (i *instance) tag(sets ...map[string]string) {
	for _, s := range sets {
		maps.Copy(i.tags, s)
	}
}

// export copies what a test may know. The caller holds the lock.
func (i *instance) export() Instance {
	return Instance{ID: i.id, Offering: i.offering, ImageID: i.image.ID, Subnet: i.subnet.ID, PrivateDNS: i.dns, State: i.state,
		Tags: maps.Clone(i.tags), Launched: i.launched, Ended: i.ended, Reason: i.reasonCode, Node: i.node, UserData: slices.Clone(i.spec.userData)}
}

// Instances are all that were ever launched, in the order of their launch.
func (s *Server) Instances() []Instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Instance
	for _, i := range s.instances {
		out = append(out, i.export())
	}
	return out
}

// Alive are the instances that are pending or running, in the order of their
// launch.
func (s *Server) Alive() []Instance {
	return slices.DeleteFunc(s.Instances(), func(i Instance) bool { return i.State != Pending && i.State != Running })
}

// ConsoleLog is what an instance said while it booted; empty for an unknown one.
func (s *Server) ConsoleLog(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.find(id); i != nil {
		return strings.Join(i.console, "\n")
	}
	return ""
}

// Terminate ends an instance without a call of the API, as a person at the
// console, a failed host or EC2 itself would. It says whether there was one.
func (s *Server) Terminate(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(id)
	if i == nil || !i.alive() {
		return false
	}
	s.shutDown(i, "Server.InternalError", "Server.InternalError: Internal error on launch")
	return true
}

// find finds an instance, whether Describe calls see it or not.
func (s *Server) find(id string) *instance {
	at := slices.IndexFunc(s.instances, func(i *instance) bool { return i.id == id })
	if at < 0 {
		return nil
	}
	return s.instances[at]
}

// shutDown begins the end of a living instance. The caller holds the lock.
func (s *Server) shutDown(i *instance, code, reason string) {
	i.state, i.reasonCode, i.reason = ShuttingDown, code, reason
	// Whoever calls has made sure that the instance is alive: stop can be closed once.
	s.announce(i)
	close(i.stop)
}

// instanceID is the form of an instance's ID; anything else is Malformed, not
// NotFound.
var instanceID = regexp.MustCompile(`^i-[0-9a-f]{8,17}$`)

// pick returns the visible instances with the given IDs, or an error that names
// all those that do not exist.
func (s *Server) pick(ids []string) ([]*instance, error) {
	var out []*instance
	var missing []string
	for _, id := range ids {
		if !instanceID.MatchString(id) {
			return nil, fail("InvalidInstanceID.Malformed", "Invalid id: %q", id)
		}
		// One that exists and is not visible yet is not found either. That is the answer
		// which makes careless callers take a new instance for a lost one.
		if i := s.find(id); i != nil && i.seen() {
			out = append(out, i)
		} else {
			missing = append(missing, id)
		}
	}
	switch len(missing) {
	case 0:
		return out, nil
	case 1:
		return nil, fail("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", missing[0])
	}
	return nil, fail("InvalidInstanceID.NotFound", "The instance IDs '%s' do not exist", strings.Join(missing, ", "))
}

// The wire forms of TerminateInstances.
type (
	wireState struct {
		Code int    `xml:"code"`
		Name string `xml:"name"`
	}
	wireChange struct {
		ID       string    `xml:"instanceId"`
		Current  wireState `xml:"currentState"`
		Previous wireState `xml:"previousState"`
	}
)

// stateOf spells a state with its number.
func stateOf(name string) wireState { return wireState{stateCodes[name], name} }

// terminateInstances begins the end of all named instances, or of none if one of
// them does not exist. One that is ending already stays as it is, without an error.
func (s *Server) terminateInstances(p params) (any, error) {
	ids := p.list("InstanceId")
	if len(ids) == 0 {
		return nil, fail("MissingParameter", "The request must contain the parameter InstanceId")
	}
	chosen, err := s.pick(ids)
	if err != nil {
		return nil, err
	}
	if p.boolean("DryRun") {
		return nil, errDryRun
	}
	out := struct {
		Changes []wireChange `xml:"instancesSet>item"`
	}{}
	for _, i := range chosen {
		before := i.state
		if i.alive() {
			s.shutDown(i, "Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown")
		}
		out.Changes = append(out.Changes, wireChange{i.id, stateOf(i.state), stateOf(before)})
	}
	return out, nil
}

// instanceFields are the filters of DescribeInstances that are understood, besides
// tags.
var instanceFields = fields[*instance]{
	"instance-id":         one(func(i *instance) string { return i.id }),
	"instance-state-name": one(func(i *instance) string { return i.state }),
	"instance-type":       one(func(i *instance) string { return i.offering.InstanceType }),
	"availability-zone":   one(func(i *instance) string { return i.offering.Zone }),
	"image-id":            one(func(i *instance) string { return i.image.ID }),
	"subnet-id":           one(func(i *instance) string { return i.subnet.ID }),
	"private-dns-name":    one(func(i *instance) string { return i.dns }),
	"private-ip-address":  one(func(i *instance) string { return i.ip }),
	// A caller that lost the answer to a launch finds its instance by this.
	"client-token":       one(func(i *instance) string { return i.token }),
	"instance-lifecycle": one((*instance).lifecycle),
}

// lifecycle is spot, the market of a reservation that has one, or nothing.
func (i *instance) lifecycle() string {
	if i.offering.CapacityType == cloudprovider.Spot {
		return "spot"
	}
	return i.spec.market
}

// visible are the instances that match the IDs and filters of a request.
func (s *Server) visible(p params) ([]*instance, error) {
	all, err := s.named(p)
	if err != nil {
		return nil, err
	}
	return filter(p, all, instanceFields, func(i *instance) map[string]string { return i.tags })
}

// named are the instances that a request names, all if it names none.
func (s *Server) named(p params) ([]*instance, error) {
	ids := p.list("InstanceId")
	if len(ids) > 0 && p.str("MaxResults") != "" {
		return nil, fail("InvalidParameterCombination", "The parameter instancesSet cannot be used with the parameter maxResults")
	}
	all := slices.DeleteFunc(slices.Clone(s.instances), func(i *instance) bool { return !i.seen() })
	if len(ids) > 0 {
		var err error
		if all, err = s.pick(ids); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// describeInstances tells instances, each in a reservation of its own as instant
// fleets make them. Terminated ones are among them until they are forgotten.
func (s *Server) describeInstances(p params) (any, error) {
	all, err := s.visible(p)
	if err != nil {
		return nil, err
	}
	all, next, err := page(p, all, func(i *instance) string { return i.id }, bounds{5, 1000, 1000})
	if err != nil {
		return nil, err
	}
	out := struct {
		Reservations []wireReservation `xml:"reservationSet>item"`
		Next         string            `xml:"nextToken,omitempty"`
	}{Next: next}
	for _, i := range all {
		out.Reservations = append(out.Reservations, wireReservation{i.reservation, s.opts.Account, []wireInstance{s.wireInstance(i)}})
	}
	return out, nil
}

// createTags adds tags to instances and launch templates. It checks all resources
// before it tags any.
func (s *Server) createTags(p params) (any, error) {
	ids := p.list("ResourceId")
	if len(ids) == 0 {
		return nil, fail("MissingParameter", "The request must contain the parameter resourceIdSet")
	}
	tags, err := p.tags("Tag")
	if err != nil {
		return nil, err
	}
	if len(tags) == 0 {
		return nil, fail("MissingParameter", "The request must contain the parameter tagSet")
	}
	// As with TerminateInstances, one bad ID spoils the whole call.
	var set []func()
	for _, id := range ids {
		switch kind, _, _ := strings.Cut(id, "-"); kind {
		case "i":
			found, err := s.pick([]string{id})
			if err != nil {
				return nil, err
			}
			set = append(set, func() { found[0].tag(tags) })
		case "lt":
			t, err := s.findTemplate(id, "")
			if err != nil {
				return nil, err
			}
			set = append(set, func() { maps.Copy(t.tags, tags) })
		default:
			return nil, fail("InvalidID", "The ID '%s' is not valid", id)
		}
	}
	if p.boolean("DryRun") {
		return nil, errDryRun
	}
	for _, f := range set {
		f()
	}
	return struct {
		Return bool `xml:"return"`
	}{true}, nil
}
