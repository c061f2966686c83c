package cloudprovider

import (
	"sync/atomic"
	"time"
)

// Availability remembers which offerings ran out, for a while. Reads take no
// lock: the marks are one immutable map behind a pointer. The zero value
// forgets after three minutes.
type Availability struct {
	// TTL is how long a mark lasts; 0 means three minutes, as Karpenter has it.
	TTL time.Duration

	until atomic.Pointer[map[Offering]time.Time]
}

// Mark notes that the offerings ran out at now.
func (a *Availability) Mark(now time.Time, offerings ...Offering) {
	ttl := a.TTL
	if ttl == 0 {
		ttl = 3 * time.Minute
	}
	for {
		old := a.until.Load()
		next := map[Offering]time.Time{}
		if old != nil {
			for o, t := range *old {
				if t.After(now) {
					next[o] = t
				}
			}
		}
		for _, o := range offerings {
			next[o] = now.Add(ttl)
		}
		if a.until.CompareAndSwap(old, &next) {
			return
		}
	}
}

// Unavailable reports whether o is marked at now.
func (a *Availability) Unavailable(now time.Time, o Offering) bool {
	m := a.until.Load()
	return m != nil && (*m)[o].After(now)
}
