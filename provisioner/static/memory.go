package static

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A memory is what the watch has not told of a pool yet, or never will. It is lost
// with the process, which does no harm: the next one begins with everything that
// there is, and waits for nothing. One goroutine works on it at a time.
type memory struct {
	pool       types.UID
	generation int64 // of the pool, at the last look
	// going are the claims that were asked to go and are not seen going yet.
	going map[types.UID]request
	// launching are the names of claims that had no machine at the last look.
	launching map[string]bool
	// failures are the looks in a row that found claims given up without a machine,
	// while none got one; until then no other is made.
	failures int
	until    time.Time
	told     string // why replicas are missing, and when
	toldAt   time.Time
}

// A request is how far a deletion has come.
type request int

const (
	asked    request = iota + 1 // no answer came
	answered                    // the watch is to tell of it
)

func newMemory(pool types.UID) *memory {
	return &memory{pool: pool, going: map[types.UID]request{}, launching: map[string]bool{}}
}

// leaves reports whether a claim is going, or may be.
func (m *memory) leaves(claim *v1.NodeClaim) bool {
	return claim.DeletionTimestamp != nil || m.going[claim.UID] != 0
}

// unanswered reports whether a claim was asked to go without an answer.
func (m *memory) unanswered(claim *v1.NodeClaim) bool {
	return claim.DeletionTimestamp == nil && m.going[claim.UID] == asked
}

// The first wait after claims were given up without a machine, and the longest:
// offerings that ran out are tried again after three minutes.
const (
	firstWait = 10 * time.Second
	maxWait   = 3 * time.Minute
)

// look compares the claims of the pool with those of the last look: it forgets what
// is settled, and counts launches that failed.
func (m *memory) look(now time.Time, claims []*v1.NodeClaim) {
	going, launching := map[types.UID]request{}, map[string]bool{}
	given, launched := false, false
	here := map[string]bool{}
	for _, claim := range claims {
		here[claim.Name] = true
		switch own := m.going[claim.UID]; {
		case claim.DeletionTimestamp == nil && own != 0:
			going[claim.UID] = own
		case v1.IsTrue(claim.Status.Conditions, v1.ConditionLaunched):
			launched = launched || m.launching[claim.Name]
		case claim.DeletionTimestamp != nil:
			given = given || m.launching[claim.Name] && own == 0
		default:
			launching[claim.Name] = true
		}
	}
	for name := range m.launching {
		given = given || !here[name]
	}
	if launched {
		m.failures, m.until = 0, time.Time{}
	}
	if given {
		m.failures++
		m.until = now.Add(min(maxWait, firstWait<<min(m.failures-1, 5)))
	}
	m.going, m.launching = going, launching
}
