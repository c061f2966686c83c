package aws

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// How the claims of a group share fleets, and get one instance each all the same:
//
//   - Whoever of them comes first asks for as many instances as the group has members,
//     and those that come meanwhile wait for the answer. A member's is the one
//     at its own index, in the order of the fleets and of the instances' IDs. So every process
//     that knows the answer gives each claim the same one.
//   - A fleet's client token is made of the group and the number of the fleet. As long as a process
//     has no answer it repeats the request word for word, and EC2 the answer.
//   - Another process may repeat it with other words, and EC2 refuses that. Then the
//     fleet's instances are looked for by the tag TagLaunchGroup, which says how many were asked for.
//     They are in the same order if all can be seen. If not all can when they would have to be,
//     nobody can say any more whose is whose, and nobody gets any.
//   - Whoever gets nothing in this way, or something that it did not ask for, goes on
//     by itself, with the offerings that were not refused. Nothing comes back from there.
//   - What nobody gets is not lost: its tag says that it is of a group none of whose claims waits
//     any more, and the collector of lost instances takes it.

// A share is what a group of claims has got so far. What is in it stays as it is.
type share struct {
	// machines by the index of the member.
	machines []cloudprovider.Instance
	// refused are offerings that ran out; causes say why.
	refused []cloudprovider.Offering
	causes  []error
	// over says that nothing more is asked for.
	over bool
}

// A joint is the launch of a group. One goroutine at a time works on it: see Provider.joining.
type joint struct {
	share
	// class and plan of the first member that came; class is nil before.
	class *Class
	plan  launchPlan
	// count is how many instances are asked for, at most the size of the group.
	count int
	// next is the number of the fleet that is asked for next, and of the plan's group.
	next int
	// mismatched is when EC2 first said, by its own clock, that the token of that fleet
	// had been used for another request.
	mismatched time.Time
}

// launchTogether returns the instance that r's claim has got as a member of its group. If it
// got none it returns the offerings with which the claim is to go on by itself.
func (p *Provider) launchTogether(ctx context.Context, c *Class, r cloudprovider.LaunchRequest) (i cloudprovider.Instance, left []cloudprovider.Offering, err error) {
	s, err := p.joining.get(ctx, r.Group.ID, func(ctx context.Context) (share, error) {
		j := p.joints.of(r.Group.ID)
		err := p.advance(ctx, c, r, j)
		return j.share, err
	})
	if err == nil { // then it is over, and who asks again changes nothing
		p.joining.forget(r.Group.ID)
	}
	if r.Group.Index < len(s.machines) {
		i := s.machines[r.Group.Index]
		suits, err := p.suits(ctx, r, i)
		if err != nil {
			return cloudprovider.Instance{}, nil, err
		}
		i.Claim = r.Claim
		if suits && p.got(r.UID, i) {
			return i, nil, nil
		}
	} else if err != nil {
		return cloudprovider.Instance{}, nil, err
	}
	left = slices.DeleteFunc(slices.Clone(r.Offerings), func(o cloudprovider.Offering) bool { return slices.Contains(s.refused, o) })
	if len(left) == 0 {
		err = &cloudprovider.InsufficientCapacityError{Offerings: s.refused, Err: errors.Join(s.causes...)}
	}
	return cloudprovider.Instance{}, left, err
}

// suits reports whether a group's instance can be that of one of its claims: it lives, is of an offering that
// the claim asked for, and no other claim had it before, as one might that was copied with its place in the group.
func (p *Provider) suits(ctx context.Context, r cloudprovider.LaunchRequest, i cloudprovider.Instance) (bool, error) {
	known, err := p.earlier.get(ctx, struct{}{}, p.before)
	if err != nil {
		return false, fmt.Errorf("looking for instances of earlier launches: %w", err)
	}
	lives := i.State == cloudprovider.Pending || i.State == cloudprovider.Running
	had := known.claim[i.ID]
	asked := slices.ContainsFunc(r.Offerings, func(o cloudprovider.Offering) bool {
		if o.Tenancy == "" { // in some VPCs all machines are dedicated, whatever is asked for
			o.Tenancy = i.Offering.Tenancy
		}
		return o == i.Offering
	})
	return lives && asked && (had == "" || had == r.Claim), nil
}

// advance asks EC2 for what a group has not got yet, and tells of what was refused for the first time.
func (p *Provider) advance(ctx context.Context, c *Class, r cloudprovider.LaunchRequest, j *joint) error {
	if j.over {
		return nil
	}
	known := len(j.refused)
	if j.class == nil {
		plan, err := p.plan(ctx, c, r)
		if err != nil {
			return err
		}
		known = 0
		j.class, j.plan, j.count = c, plan, p.room(c, plan, r.Group.Size)
		j.refused, j.causes = plan.refused, plan.causes
	}
	err := p.fulfil(ctx, r, j)
	if err != nil || j.over {
		p.report(j.refused[known:])
	}
	return err
}

// fulfil asks for the fleets of a group one after the other: each for what those before it lack.
func (p *Provider) fulfil(ctx context.Context, r cloudprovider.LaunchRequest, j *joint) error {
	for j.next < len(j.plan.groups) && len(j.machines) < j.count {
		count := j.count - len(j.machines)
		out := p.buy(ctx, j.class, order{j.plan.groups[j.next], count, tokenOf(r.Group.ID, j.next, 0), p.groupTags(j.class, r, j.next, count)})
		if code(out.err) == codeTokenMismatch {
			if out = p.recover(ctx, r, j, out.err); out.err == nil { // whole: no more had been asked for
				j.count = len(j.machines) + len(out.machines)
			}
		}
		j.machines = append(j.machines, out.machines...)
		j.refused, j.causes = append(j.refused, out.refused...), append(j.causes, out.causes...)
		switch {
		case out.err == nil:
			j.next, j.mismatched = j.next+1, time.Time{}
			continue
		case out.accepted:
			j.over = true
			if len(j.machines) > 0 { // those who got none hear of it when they ask by themselves
				return nil
			}
		case j.next == 0 && isAnswer(out.err):
			j.class = nil // no word of the request has had any effect: the next may have other words
		case isAnswer(out.err) && code(out.err) != codeThrottled && code(out.err) != codeTokenMismatch:
			j.over = true // it would be the same again: each goes on in words of its own
		}
		return out.err
	}
	j.over = true
	return nil
}

// recover finds what a fleet has made that was asked for in other words by an earlier process. There is
// no answer yet if more of it might become visible; if not, and it is not whole, its instances are nobody's.
func (p *Provider) recover(ctx context.Context, r cloudprovider.LaunchRequest, j *joint, cause error) outcome {
	machines, err := p.madeBy(ctx, r.Group.ID, j.next)
	if err != nil {
		return outcome{err: err}
	}
	said := saidAt(cause)
	if j.mismatched.IsZero() {
		j.mismatched = said
	}
	since, asked := j.mismatched, 0
	if len(machines) > 0 {
		if newest := slices.MaxFunc(machines, older).Launched; newest.Before(since) {
			since = newest
		}
		tag := machines[0].Tags[TagLaunchGroup]
		asked, _ = strconv.Atoi(tag[strings.LastIndexByte(tag, '/')+1:]) // 0 if somebody changed it: then it is never whole
	}
	err = fmt.Errorf("fleet %d of the group was asked for with other parameters, and %d of its %d instances are to be seen: %w", j.next, len(machines), asked, cause)
	switch {
	case asked > 0 && len(machines) == asked:
		return outcome{machines: machines}
	case said.IsZero() || said.Sub(since) < visibleAfter:
		return outcome{err: err}
	}
	return outcome{err: err, accepted: true}
}

// room is how many of a group's machines may be asked for together: a fleet has one subnet of each zone. Where
// it has not enough addresses and another of the zone has some, those that are too many go by themselves, and there.
func (p *Provider) room(c *Class, plan launchPlan, size int) int {
	most := int64(size)
	for _, g := range plan.groups {
		for _, pl := range g.placements {
			elsewhere := slices.ContainsFunc(c.Subnets, func(s Subnet) bool {
				return s.Zone == pl.subnet.Zone && s.ID != pl.subnet.ID && p.addresses.free(s) >= pl.pods
			})
			if elsewhere && pl.pods > 0 {
				most = min(most, max(1, p.addresses.free(pl.subnet)/pl.pods))
			}
		}
	}
	return int(most)
}

// maxJoints bounds what is remembered of groups. One that is forgotten early is asked for again, and
// EC2 still knows its tokens.
const maxJoints = 2_000

// joints remembers the groups that are launched by this process. The lock covers map
// operations only. The zero value is empty.
type joints struct {
	mu    sync.Mutex
	byID  map[string]*joint
	order []string // IDs, oldest first
}

// of returns what is known of a group.
func (a *joints) of(id string) *joint {
	a.mu.Lock()
	defer a.mu.Unlock()
	if j, known := a.byID[id]; known {
		return j
	}
	if a.byID == nil {
		a.byID = map[string]*joint{}
	}
	j := &joint{}
	a.byID[id] = j
	a.order = append(a.order, id)
	if len(a.order) > maxJoints {
		delete(a.byID, a.order[0])
		a.order = a.order[1:]
	}
	return j
}
