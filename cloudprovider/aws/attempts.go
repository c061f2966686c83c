package aws

import (
	"sync"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// maxAttempts bounds what is remembered of claims. A claim forgotten early costs
// nothing but memory's help: EC2 still knows its tokens.
const maxAttempts = 20_000

// maxMismatches is how many launches of a claim may find its token used for
// another request, and no instance, before it gets a new token. Each is a
// caller's back-off apart, so that an instance has time to become visible.
const maxMismatches = 3

// An attempt is what is known of the launches of one claim.
type attempt struct {
	// number is part of the claim's tokens. It rises when EC2 has said that an
	// attempt made no instance: the same token would only repeat that answer.
	number int
	// doubt says that a call ended without an answer of EC2's: there may be an
	// instance.
	doubt bool
	// mismatches counts launches refused since number last rose because the token
	// had been used for another request.
	mismatches int
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
		a.byUID = map[string]attempt{}
	}
	next, known := a.byUID[uid]
	change(&next)
	a.byUID[uid] = next
	if known {
		return
	}
	a.order = append(a.order, uid)
	if len(a.order) > maxAttempts {
		delete(a.byUID, a.order[0])
		a.order = a.order[1:]
	}
}

// over notes that EC2 has answered attempt number and made no instance.
func (a *attempts) over(uid string, number int) {
	a.edit(uid, func(t *attempt) {
		// Of two callers with one claim, the second changes nothing.
		if t.number == number {
			t.number, t.doubt, t.mismatches = number+1, false, 0
		}
	})
}

// doubtful notes that a call may have made an instance.
func (a *attempts) doubtful(uid string) {
	a.edit(uid, func(t *attempt) { t.doubt = true })
}

// mismatch notes that the token of attempt number belongs to another request.
func (a *attempts) mismatch(uid string, number int) {
	a.edit(uid, func(t *attempt) {
		if t.number != number {
			return
		}
		t.doubt = true
		if t.mismatches++; t.mismatches >= maxMismatches {
			t.number, t.doubt, t.mismatches = number+1, false, 0
		}
	})
}

// got notes the claim's instance.
func (a *attempts) got(uid string, i cloudprovider.Instance) {
	a.edit(uid, func(t *attempt) { t.instance, t.launched, t.doubt = i, true, false })
}
