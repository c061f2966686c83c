package aws

import (
	"sync"
	"time"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// maxAttempts bounds what is remembered of claims. A claim forgotten early costs
// nothing but memory's help: EC2 still knows its tokens.
const maxAttempts = 20_000

// visibleAfter is how long after its launch an instance may be unseen. So long a
// claim whose token was used for another request keeps the token; then there is
// no instance, and it gets a new one.
const visibleAfter = 2 * time.Minute

// An attempt is what is known of the launches of one claim.
type attempt struct {
	// number is part of the claim's tokens. It rises when EC2 has said that an
	// attempt made no instance: the same token would only repeat that answer.
	number int
	// doubt says that a call ended without an answer of EC2's: there may be an
	// instance.
	doubt bool
	// mismatched is when EC2 first said, by its own clock, that the token had been
	// used for another request; zero if it did not since number last rose.
	mismatched time.Time
	// instance is what the claim has got, if launched.
	instance cloudprovider.Instance
	launched bool
}

// attempts remembers the claims launched by this process, by UID. The lock
// covers map operations only. The zero value is empty.
type attempts struct {
	mu    sync.Mutex
	byUID map[string]attempt
	order []string // UIDs, oldest first
	// owners are the UIDs of the claims that have got instances, by the instances' IDs.
	owners map[string]string
}

// of returns what is known of a claim.
func (a *attempts) of(uid string) attempt {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.byUID[uid]
}

// edit changes what is known of a claim.
func (a *attempts) edit(uid string, change func(*attempt)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byUID == nil {
		a.byUID, a.owners = map[string]attempt{}, map[string]string{}
	}
	next, known := a.byUID[uid]
	change(&next)
	a.byUID[uid] = next
	if known {
		return
	}
	a.order = append(a.order, uid)
	if len(a.order) > maxAttempts {
		delete(a.owners, a.byUID[a.order[0]].instance.ID)
		delete(a.byUID, a.order[0])
		a.order = a.order[1:]
	}
}

// over notes that EC2 has answered attempt number and made no instance.
func (a *attempts) over(uid string, number int) {
	a.edit(uid, func(t *attempt) {
		// Of two callers with one claim, the second changes nothing.
		if t.number == number {
			t.number, t.doubt, t.mismatched = number+1, false, time.Time{}
		}
	})
}

// doubtful notes that a call may have made an instance.
func (a *attempts) doubtful(uid string) {
	a.edit(uid, func(t *attempt) { t.doubt = true })
}

// mismatch notes that, as EC2 said at the given time of its clock, the token of
// attempt number belongs to another request.
func (a *attempts) mismatch(uid string, number int, at time.Time) {
	a.edit(uid, func(t *attempt) {
		switch {
		case t.number != number:
		case t.mismatched.IsZero():
			t.doubt, t.mismatched = true, at
		case at.Sub(t.mismatched) >= visibleAfter:
			t.number, t.doubt, t.mismatched = number+1, false, time.Time{}
		}
	})
}

// got notes the claim's instance, and reports whether it is no other claim's.
func (a *attempts) got(uid string, i cloudprovider.Instance) bool {
	ours := true
	a.edit(uid, func(t *attempt) {
		if owner, had := a.owners[i.ID]; had && owner != uid {
			ours = false
			return
		}
		a.owners[i.ID] = uid
		t.instance, t.launched, t.doubt = i, true, false
	})
	return ours
}
