package nodeclass

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/cloudprovider/aws"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// A part is one thing that was looked up for a class, and how that went.
type part[T any] struct {
	value T
	// state of the condition; "" until the part was looked up.
	state metav1.ConditionStatus
	// reason and message of a condition that is not True.
	reason, message string
	// generation of the spec that the part is about.
	generation int64
	// until is when the part has to be looked up again.
	until time.Time
}

// A verdict says why a part was not found, in words for a condition. nil means
// that it was.
type verdict struct{ reason, message string }

func verdictf(reason, format string, args ...any) *verdict {
	return &verdict{reason, fmt.Sprintf(format, args...)}
}

// A moment is what a look depends on besides the cloud.
type moment struct {
	now   time.Time
	class *v1.EC2NodeClass
	// reserved tells that the feature gate for reserved capacity is on.
	reserved bool
	// version of Kubernetes; asked for once, so that all images of a class are for
	// the same one.
	version string
}

// look brings the part up to date. find returns a value, or a verdict, or an
// error if AWS did not answer as it should. After an error, what was found for
// this generation of the spec stays, by this process or, as the condition of the
// given kind says, by an earlier one; otherwise the part is Unknown.
func (p *part[T]) look(m moment, kind string, interval time.Duration, find func() (T, *verdict, error)) error {
	g := m.class.Generation
	if p.state == metav1.ConditionTrue && p.generation == g && m.now.Before(p.until) {
		return nil
	}
	value, why, err := find()
	switch {
	case err != nil && p.state == metav1.ConditionTrue && p.generation == g:
	case err != nil && p.state == "" && m.shown(kind):
	case err != nil:
		*p = part[T]{state: metav1.ConditionUnknown, reason: "LookupFailed", message: "AWS did not say: " + codeOf(err), generation: g}
	case why != nil:
		*p = part[T]{state: metav1.ConditionFalse, reason: why.reason, message: why.message, generation: g, until: m.now.Add(time.Minute)}
	default:
		*p = part[T]{value: value, state: metav1.ConditionTrue, generation: g, until: m.now.Add(interval)}
	}
	return err
}

// shown reports whether the status says that a condition is True of this spec.
func (m moment) shown(kind string) bool {
	condition := meta.FindStatusCondition(m.class.Status.Conditions, kind)
	return condition != nil && condition.Status == metav1.ConditionTrue && condition.ObservedGeneration == m.class.Generation
}

// show writes the part's condition into the status; one that was never looked up
// leaves it as it is.
func (p *part[T]) show(m moment, kind string) (looked bool) {
	if p.state == "" {
		return false
	}
	m.class.SetCondition(metav1.Condition{Type: kind, Status: p.state, Reason: p.reason, Message: p.message}, m.now)
	return true
}

// A resolved is what is known of one class.
type resolved struct {
	uid       types.UID
	version   string // of Kubernetes, when the images were last due
	subnets   part[[]aws.Subnet]
	groups    part[[]v1.SecurityGroup]
	images    part[[]v1.AMI]
	profile   part[string]
	valid     part[struct{}]
	rehearsed part[struct{}] // of what ConditionValidationSucceeded says as well
	placement part[*aws.PlacementGroup]
	// reserved stays as it is where the feature gate is off.
	reserved part[[]aws.Reservation]
}

// resolve looks up what is due. It returns what is known now, and what went
// wrong; the parts are independent of each other.
func (c *Controller) resolve(ctx context.Context, m moment) (*resolved, error) {
	r, spec := c.known(m.class), &m.class.Spec
	if r.version != m.version {
		r.version, r.images.until = m.version, time.Time{} // what was found stays until its successor is
	}
	subnets, images := cmp.Or(c.SubnetInterval, time.Minute), cmp.Or(c.ImageInterval, 5*time.Minute)
	var failed error
	if c.ReservedCapacity {
		failed = r.reserved.look(m, v1.ConditionCapacityReservationsReady, time.Minute, func() ([]aws.Reservation, *verdict, error) {
			return c.reservations(ctx, m)
		})
	}
	return r, errors.Join(failed,
		r.valid.look(m, v1.ConditionValidationSucceeded, 10*time.Minute, func() (struct{}, *verdict, error) {
			return struct{}{}, validate(c.Cluster, spec), nil
		}),
		r.placement.look(m, v1.ConditionPlacementGroupReady, 10*time.Minute, func() (*aws.PlacementGroup, *verdict, error) {
			return c.placementGroup(ctx, spec)
		}),
		r.subnets.look(m, v1.ConditionSubnetsReady, subnets, func() ([]aws.Subnet, *verdict, error) {
			return c.subnets(ctx, spec)
		}),
		r.groups.look(m, v1.ConditionSecurityGroupsReady, 5*time.Minute, func() ([]v1.SecurityGroup, *verdict, error) {
			return c.securityGroups(ctx, spec)
		}),
		r.images.look(m, v1.ConditionAMIsReady, images, func() ([]v1.AMI, *verdict, error) {
			return c.images(ctx, m)
		}),
		r.profile.look(m, v1.ConditionInstanceProfileReady, 15*time.Minute, func() (string, *verdict, error) {
			return c.profile(ctx, m.class)
		}),
	)
}

// rehearse asks whether instances may be launched from a class that all has been found for.
func (c *Controller) rehearse(ctx context.Context, m moment, r *resolved) error {
	const found = metav1.ConditionTrue
	if c.Rehearse == nil || r.valid.state != found || r.placement.state != found || r.subnets.state != found || r.groups.state != found || r.images.state != found || r.profile.state != found {
		return nil
	}
	if r.rehearsed.state == metav1.ConditionFalse && r.rehearsed.generation == m.class.Generation && m.now.Before(r.rehearsed.until) {
		return nil // who has given the right need not tell, and is not kept waiting for long
	}
	was := r.rehearsed
	err := r.rehearsed.look(m, v1.ConditionValidationSucceeded, 10*time.Minute, func() (struct{}, *verdict, error) {
		err := c.Rehearse(ctx, r.class(m.class))
		if denied, ok := errors.AsType[*aws.NotAllowedError](err); ok {
			logr.FromContextOrDiscard(ctx).Error(err, "asking whether instances may be launched", "EC2NodeClass", map[string]string{"name": m.class.Name})
			return struct{}{}, verdictf(denied.Call+"AuthCheckFailed", "%s", denied.Verdict()), nil
		}
		return struct{}{}, nil, err
	})
	if err != nil && was.state == metav1.ConditionFalse {
		r.rehearsed = was // nobody has said that it is allowed now
	}
	return err
}

// show writes what was looked up into the status, and reports whether that is
// everything.
func (r *resolved) show(m moment) (whole bool) {
	s, whole := &m.class.Status, true
	if whole = r.subnets.show(m, v1.ConditionSubnetsReady) && whole; r.subnets.state != "" {
		s.Subnets = nil
		for _, n := range r.subnets.value {
			s.Subnets = append(s.Subnets, v1.Subnet{ID: n.ID, Zone: n.Zone, ZoneID: n.ZoneID})
		}
	}
	if whole = r.groups.show(m, v1.ConditionSecurityGroupsReady) && whole; r.groups.state != "" {
		s.SecurityGroups = slices.Clone(r.groups.value)
	}
	if whole = r.images.show(m, v1.ConditionAMIsReady) && whole; r.images.state != "" {
		s.AMIs = slices.Clone(r.images.value)
	}
	if whole = r.profile.show(m, v1.ConditionInstanceProfileReady) && whole; r.profile.state != "" {
		s.InstanceProfile = r.profile.value
	}
	valid := &r.valid
	if valid.state == metav1.ConditionTrue && r.rehearsed.state == metav1.ConditionFalse && r.rehearsed.generation == m.class.Generation {
		valid = &r.rehearsed
	}
	whole = valid.show(m, v1.ConditionValidationSucceeded) && whole
	whole = r.placement.show(m, v1.ConditionPlacementGroupReady) && whole
	dependents := v1.Readiness
	if m.reserved {
		dependents = slices.Concat(dependents, []string{v1.ConditionCapacityReservationsReady})
		whole = r.reserved.show(m, v1.ConditionCapacityReservationsReady) && whole
	} else {
		meta.RemoveStatusCondition(&s.Conditions, v1.ConditionCapacityReservationsReady)
	}
	if !m.reserved || r.reserved.state != "" {
		s.CapacityReservations = nil
		for _, n := range r.reserved.value {
			s.CapacityReservations = append(s.CapacityReservations, n.CapacityReservation)
		}
	}
	m.class.SetReady(dependents, m.now)
	return whole
}

// known returns the record of a class; the lock covers the map only, since steps
// for one class do not run at once.
func (c *Controller) known(class *v1.EC2NodeClass) *resolved {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.resolved == nil {
		c.resolved = map[string]*resolved{}
	}
	r, ok := c.resolved[class.Name]
	if !ok || r.uid != class.UID {
		r = &resolved{uid: class.UID}
		c.resolved[class.Name] = r
	}
	return r
}

// forget drops the record of a class, and the class from the registry.
func (c *Controller) forget(name string) {
	c.Classes.Delete(name)
	if c.Gone != nil {
		c.Gone(name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.resolved, name)
}

// due is how long from now the first part has to be looked up again, and at
// least a second.
func (r *resolved) due(now time.Time) time.Duration {
	next := r.subnets.until
	parts := []time.Time{r.groups.until, r.images.until, r.profile.until, r.valid.until, r.placement.until}
	if r.rehearsed.until.After(now) { // else it waits for the others, which say when
		parts = append(parts, r.rehearsed.until)
	}
	if r.reserved.state != "" {
		parts = append(parts, r.reserved.until)
	}
	for _, t := range parts {
		if t.Before(next) {
			next = t
		}
	}
	return max(next.Sub(now), time.Second)
}

// class makes the value that instances are launched from. The status of nc is up
// to date.
func (r *resolved) class(nc *v1.EC2NodeClass) *aws.Class {
	out := &aws.Class{
		Name: nc.Name, UID: string(nc.UID), Hash: nc.Annotations[v1.AnnotationHash], Spec: *nc.Spec.DeepCopy(),
		Subnets: r.subnets.value, InstanceProfile: r.profile.value, Reservations: r.reserved.value,
		PlacementGroup: r.placement.value,
	}
	for _, g := range r.groups.value {
		out.SecurityGroups = append(out.SecurityGroups, g.ID)
	}
	for _, i := range r.images.value {
		out.Images = append(out.Images, aws.Image{ID: i.ID, Name: i.Name, Requirements: i.Requirements})
	}
	for _, condition := range nc.Status.Conditions {
		if condition.Type == v1.ConditionReady && condition.Status != metav1.ConditionTrue {
			out.NotReady = condition.Message
			for _, why := range nc.Status.Conditions {
				if why.Type != v1.ConditionReady && why.Status != metav1.ConditionTrue {
					out.NotReady += "; " + why.Type + ": " + why.Message
				}
			}
		}
	}
	return out
}
