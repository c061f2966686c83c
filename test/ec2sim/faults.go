package ec2sim

import (
	"cmp"
	"slices"
	"time"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// faults are what goes wrong on request. An action of "" stands for every one.
type faults struct {
	denied map[string]bool          // by action, as all below
	next   map[string][]next        // in the order they were asked for
	odds   map[string]float64       // of RequestLimitExceeded
	slow   map[string]time.Duration // by which every answer is late
	after  map[string][]func()      // once, after the effect
	drops  map[string]int           // how many answers will be lost
	// shortages may overlap: a pool is empty if any that covers it is.
	shortages []*Shortage
	// lag is how long what was made stays unseen by Describe calls.
	lag time.Duration
	// impaired are instances whose status checks fail, since when.
	impaired map[string]time.Time
	// planned are the scheduled events of instances.
	planned map[string]wireEvent
}

// A next is an error that the coming calls get.
type next struct {
	err   *apiError
	calls int
}

// newFaults is a world in which nothing goes wrong.
func newFaults() faults {
	return faults{denied: map[string]bool{}, next: map[string][]next{}, odds: map[string]float64{}, slow: map[string]time.Duration{},
		after: map[string][]func(){}, drops: map[string]int{}, impaired: map[string]time.Time{}, planned: map[string]wireEvent{}}
}

// A held is what a call meets besides its answer.
type held struct {
	wait  time.Duration
	after []func()
	drop  bool
}

// meet counts a call, and decides which faults it meets.
func (s *Server) meet(q request) (held, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.journal.add(q)
	f := &s.faults
	h := held{wait: cmp.Or(f.slow[q.action], f.slow[""])}
	if f.denied[q.action] {
		return h, denial(q)
	}
	for _, key := range []string{q.action, ""} {
		if n := f.next[key]; len(n) > 0 {
			if n[0].calls--; n[0].calls == 0 {
				f.next[key] = n[1:]
			}
			return h, n[0].err
		}
	}
	if odds := cmp.Or(f.odds[q.action], f.odds[""]); odds > 0 && s.odds.Float64() < odds {
		return h, errThrottled
	}
	if q.form.Get("DryRun") == "true" {
		return h, nil // it has no effect that something could come after
	}
	h.after = f.after[q.action]
	delete(f.after, q.action)
	if f.drops[q.action] > 0 {
		f.drops[q.action]--
		h.drop = true
	}
	return h, nil
}

// errThrottled is EC2's answer to too many calls. The SDK waits and repeats.
var errThrottled = &apiError{"RequestLimitExceeded", "Request limit exceeded."}

// denial is what IAM says in the words of the service.
func denial(q request) error {
	switch q.service {
	case "ec2":
		return fail("UnauthorizedOperation", "You are not authorized to perform this operation. User: arn:aws:sts::123456789012:assumed-role/controller is not authorized to perform: ec2:%s", q.action)
	case "iam", "sts":
		return fail("AccessDenied", "User is not authorized to perform: %s:%s", q.service, q.action)
	}
	return fail("AccessDeniedException", "User is not authorized to perform: %s:%s", q.service, q.action)
}

// Deny refuses an action, as a missing IAM permission would; Allow ends that.
func (s *Server) Deny(action string) { s.with(func(f *faults) { f.denied[action] = true }) }

// Allow undoes Deny.
func (s *Server) Allow(action string) { s.with(func(f *faults) { delete(f.denied, action) }) }

// Throttle answers the next calls of an action ("" for any) with
// RequestLimitExceeded.
func (s *Server) Throttle(action string, calls int) {
	s.FailNext(action, errThrottled.Code, calls)
}

// ThrottleOdds throttles each call of an action ("" for any) with the given odds,
// drawn from the seed. 0 ends it.
func (s *Server) ThrottleOdds(action string, odds float64) {
	s.with(func(f *faults) { f.odds[action] = odds })
}

// FailNext answers the next calls of an action ("" for any) with an error code.
func (s *Server) FailNext(action, code string, calls int) {
	if calls <= 0 {
		return
	}
	e := &apiError{code, "asked for by a test"}
	if code == errThrottled.Code {
		e = errThrottled
	}
	s.with(func(f *faults) { f.next[action] = append(f.next[action], next{e, calls}) })
}

// Slow delays every answer of an action ("" for any). 0 ends it.
func (s *Server) Slow(action string, by time.Duration) {
	s.with(func(f *faults) { f.slow[action] = by })
}

// After calls f once, after the next call of the action has taken effect and
// before its answer is sent: the moment at which a caller that dies leaves an
// orphan behind.
func (s *Server) After(action string, f func()) {
	s.with(func(x *faults) { x.after[action] = append(x.after[action], f) })
}

// DropReplies cuts the connection of the next calls of an action after they took
// effect, so that the caller does not know whether they did.
func (s *Server) DropReplies(action string, calls int) {
	s.with(func(f *faults) { f.drops[action] = calls })
}

// Lag makes the server eventually consistent: what is made from now on (instances,
// launch templates, instance profiles) is unseen for so long.
func (s *Server) Lag(by time.Duration) { s.with(func(f *faults) { f.lag = by }) }

// Impair makes an instance's status checks fail from now on.
func (s *Server) Impair(id string) { s.ImpairSince(id, now()) }

// ImpairSince makes them fail since some time.
func (s *Server) ImpairSince(id string, since time.Time) {
	s.with(func(f *faults) { f.impaired[id] = since })
}

// Plan has the status of an instance tell of a scheduled event: one of EC2's codes, a text, and when
// it begins. Nothing follows.
func (s *Server) Plan(id, code, text string, begins time.Time) {
	s.with(func(f *faults) { f.planned[id] = wireEvent{code, text, stamp(begins)} })
}

// with changes the faults under the lock.
func (s *Server) with(f func(*faults)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.faults)
}

// A Shortage is a want of capacity.
type Shortage struct {
	// Pool that is short; an empty field stands for any.
	Pool cloudprovider.Offering
	// Left is how many more instances it gives.
	Left int
	// Code of the error when there are none left; InsufficientInstanceCapacity
	// when empty. MaxSpotInstanceCountExceeded, VcpuLimitExceeded and
	// UnfulfillableCapacity are others.
	Code string
}

// RunShort adds a shortage, in place of an earlier one of the same pool.
func (s *Server) RunShort(short Shortage) {
	s.Restock(short.Pool)
	s.with(func(f *faults) { f.shortages = append(f.shortages, &short) })
}

// Restock ends the shortage of a pool.
func (s *Server) Restock(pool cloudprovider.Offering) {
	s.with(func(f *faults) {
		f.shortages = slices.DeleteFunc(f.shortages, func(x *Shortage) bool { return x.Pool == pool })
	})
}

// covers says whether the shortage is about the offering.
func (x *Shortage) covers(o cloudprovider.Offering) bool {
	for _, f := range [][2]string{{x.Pool.InstanceType, o.InstanceType}, {x.Pool.Zone, o.Zone}, {x.Pool.CapacityType, o.CapacityType}, {x.Pool.Tenancy, o.Tenancy}, {x.Pool.Placement, o.Placement}} {
		if f[0] != "" && f[0] != f[1] {
			return false
		}
	}
	return true
}

// take uses up capacity of the pool, or says what it is short of.
func (f *faults) take(o cloudprovider.Offering) error {
	// First look, then take: a pool that is refused by one shortage must not use
	// up another.
	for _, x := range f.shortages {
		if x.covers(o) && x.Left <= 0 {
			return shortageError(o, cmp.Or(x.Code, "InsufficientInstanceCapacity"))
		}
	}
	for _, x := range f.shortages {
		if x.covers(o) {
			x.Left--
		}
	}
	return nil
}

// shortageError words a want of capacity as EC2 does. Controllers look at codes; the
// words end in events and logs, where a person should recognise them.
func shortageError(o cloudprovider.Offering, code string) error {
	switch {
	case code == "InsufficientInstanceCapacity" && o.CapacityType == cloudprovider.Spot:
		return fail(code, "There is no Spot capacity available that matches your request.")
	case code == "InsufficientInstanceCapacity":
		return fail(code, "We currently do not have sufficient %s capacity in the Availability Zone you requested (%s). Our system will be working on provisioning additional capacity.", o.InstanceType, o.Zone)
	case code == "MaxSpotInstanceCountExceeded":
		return fail(code, "Max spot instance count exceeded")
	case code == "VcpuLimitExceeded":
		return fail(code, "You have requested more vCPU capacity than your current vCPU limit allows for the instance bucket that the specified instance type belongs to.")
	case code == "UnfulfillableCapacity":
		return fail(code, "Unable to fulfill capacity due to your request configuration. Please adjust your request and try again.")
	}
	return fail(code, "%s is not to be had", o)
}
