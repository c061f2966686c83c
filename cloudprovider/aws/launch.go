package aws

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// How a claim gets one instance, whatever happens:
//
//   - A fleet's client token is made of the claim's UID, the group and the number
//     of the attempt, and of nothing that may change between two tries (subnets,
//     images). EC2 answers a repeated token with the instance that it made.
//   - If something did change, EC2 refuses the token. Then the instance is looked
//     for by the tag TagClaimUID, which it carries from birth, until it would
//     have to be visible.
//   - A call without an answer leaves a doubt, and the next launch of the claim
//     looks for the instance before anything else.
//   - What an earlier process launched is in one list, taken when this process
//     launches for the first time. So a restart costs one call, not one for
//     each claim; what that list does not show yet, the token still knows.
//   - Only when EC2 has said that an attempt made nothing does the number rise, in
//     memory. A process that forgets it repeats the token and gets the old refusal,
//     which costs the claim, never money.
//
// Claims that are alike share fleets before each of them asks by itself: see together.go.

// Launch buys one of r.Offerings. Offerings that follow each other with one
// capacity type are tried together, since EC2 chooses well among them; a refusal
// of all moves on to the next group.
func (p *Provider) Launch(ctx context.Context, r cloudprovider.LaunchRequest) (cloudprovider.Instance, error) {
	i, err := p.launch(ctx, r)
	if err != nil {
		return cloudprovider.Instance{}, fmt.Errorf("launching %s: %w", r.Claim, err)
	}
	return i, nil
}

func (p *Provider) launch(ctx context.Context, r cloudprovider.LaunchRequest) (cloudprovider.Instance, error) {
	if r.UID == "" {
		return cloudprovider.Instance{}, errors.New("the claim has no UID")
	}
	if i, found, err := p.launched(ctx, r.UID); err != nil || found {
		return i, err
	}
	class, err := p.Classes.ready(r.Class)
	if err != nil {
		return cloudprovider.Instance{}, err
	}
	if r.Group.Size > 1 {
		i, left, err := p.launchTogether(ctx, class, r)
		if err != nil || i.ID != "" {
			return i, err
		}
		r.Offerings = left
	}
	return p.launchAlone(ctx, class, r)
}

// launchAlone buys a machine for one claim.
func (p *Provider) launchAlone(ctx context.Context, class *Class, r cloudprovider.LaunchRequest) (cloudprovider.Instance, error) {
	plan, err := p.plan(ctx, class, r)
	if err != nil {
		return cloudprovider.Instance{}, err
	}
	number, tags := p.attempts.of(r.UID).number, p.claimTags(class, r)
	refused, causes := plan.refused, plan.causes
	for index, g := range plan.groups {
		out := p.buy(ctx, class, order{g, 1, tokenOf(r.UID, index, number), tags})
		refused, causes = append(refused, out.refused...), append(causes, out.causes...)
		if len(out.machines) > 0 && out.machines[0].Offering.InstanceType == "" {
			// Not an answer: that leaves a doubt, and the next launch looks it up.
			out = outcome{err: fmt.Errorf("the fleet made %s, which is none of the offerings asked for", out.machines[0].ID)}
		}
		if out.err != nil {
			p.settle(r.UID, number, out)
			p.report(refused)
			return p.mismatched(ctx, r.UID, number, out.err)
		}
		if len(out.machines) > 0 {
			p.got(r.UID, out.machines[0])
			p.report(refused)
			return out.machines[0], nil
		}
	}
	p.attempts.over(r.UID, number)
	return cloudprovider.Instance{}, &cloudprovider.InsufficientCapacityError{Offerings: refused, Err: errors.Join(causes...)}
}

// report tells of refused offerings that no error carries.
func (p *Provider) report(refused []cloudprovider.Offering) {
	if p.Refused != nil && len(refused) > 0 {
		p.Refused(refused)
	}
}

// settle notes what an error of a group means for the claim's next launch.
func (p *Provider) settle(uid string, number int, out outcome) {
	switch {
	case code(out.err) == codeTokenMismatch:
		p.attempts.mismatch(uid, number, saidAt(out.err))
	case out.accepted:
		p.attempts.over(uid, number)
	case !isAnswer(out.err):
		p.attempts.doubtful(uid)
	}
}

// launched returns the instance that a claim has already, as far as there is
// reason to think so.
func (p *Provider) launched(ctx context.Context, uid string) (i cloudprovider.Instance, found bool, err error) {
	known := p.attempts.of(uid)
	if known.launched {
		return known.instance, true, nil
	}
	earlier, err := p.earlier.get(ctx, struct{}{}, p.before)
	if err != nil {
		return cloudprovider.Instance{}, false, fmt.Errorf("looking for instances of earlier launches: %w", err)
	}
	if i, found = earlier.byUID[uid]; !found && known.doubt {
		i, found, err = p.find(ctx, uid)
	}
	if found {
		p.got(uid, i)
	}
	return i, found, err
}

// got notes what a claim has got, once for each claim, and reports whether no other claim has got it.
// A reservation has one less from when the instance was launched, however it was found out.
func (p *Provider) got(uid string, i cloudprovider.Instance) bool {
	if !p.attempts.got(uid, i) {
		return false
	}
	if name := i.Offering.Reservation; name != "" {
		p.reserved.take(name, i.Launched)
	}
	return true
}

// mismatched handles an error of a group: where the token belongs to an earlier
// request, that request's instance is the answer.
func (p *Provider) mismatched(ctx context.Context, uid string, number int, cause error) (cloudprovider.Instance, error) {
	if code(cause) != codeTokenMismatch {
		return cloudprovider.Instance{}, cause
	}
	i, found, err := p.find(ctx, uid)
	if err != nil {
		return cloudprovider.Instance{}, err
	}
	if !found {
		return cloudprovider.Instance{}, fmt.Errorf("attempt %d was made with other parameters, and its instance is not to be seen: %w", number, cause)
	}
	p.got(uid, i)
	return i, nil
}

// tokenOf is the client token of one group of one attempt of a claim: 64
// characters, the most that EC2 takes.
func tokenOf(uid string, group, number int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d/%d", uid, group, number))
	return hex.EncodeToString(sum[:])
}
