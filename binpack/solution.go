package binpack

// A Solution says which nodes to open, what goes on them and on the nodes that
// exist, and what finds no place and why.
type Solution struct {
	// New lists patterns of new nodes, by ID of the decided offer, then by IDs
	// of the pods' groups, more pods first.
	New []Pattern
	// Fills lists what goes on existing nodes, by ID of the node.
	Fills []Fill
	// Unplaced lists the groups of which pods are left, by ID.
	Unplaced []Unplaced

	// Cost is the sum over New of price and fee of each node's first offer.
	Cost MicroUSD
	// LowerBound is proven: no plan that puts on new nodes the pods which this
	// one puts there, each restricted to pools of at least the weight it got
	// here, costs less.
	LowerBound MicroUSD
	// Steps is the work done, in the unit of Problem.MaxSteps.
	Steps int64
	// Truncated is set when ctx ended before the step budget did.
	Truncated bool
}

// A Pattern is Count new nodes, each with the same pods and the same choice of
// offers.
type Pattern struct {
	Count int64
	// Offers are those that hold the load within every constraint, the decided
	// one first, then alternatives by rising price. They are of one pool. The
	// cloud may launch any of them, so Verify checks each.
	Offers []int
	// Pods of one node, by ID of the group, each count positive.
	Pods []Share
}

// A Fill is what goes on an existing node.
type Fill struct {
	Node int
	Pods []Share
}

// A Share is a number of pods of a group.
type Share struct {
	Group int
	Count int64
}

// Unplaced is what is left of a group, with the reasons, one or more for each
// pool, heaviest pool first. A reason with Pool -1 stands alone. In a truncated
// solution reasons may be missing.
type Unplaced struct {
	Group   int
	Count   int64
	Reasons []Reason
}

// A Reason says as data why pods of a group found no place.
type Reason struct {
	Code ReasonCode
	// Pool is the pool that the reason is about, or -1 for all.
	Pool int
	// Resource is the dimension that was short, or -1. With
	// InsufficientResources, Wanted is what one pod asks for and Best the most
	// that any admissible offer has after overhead; if each resource has some
	// offer with enough, the most among those that lack least. With LimitReached,
	// Wanted is what a node that would do charges and Best what the limit leaves,
	// of the node that comes nearest; Resource -1 is the number of nodes.
	Resource     int
	Wanted, Best int64
	// Constraint is the ID of the exclusion, spread, affinity or stock that
	// stood in the way, or the field that is not supported.
	Constraint string
}

// A ReasonCode is a stable word for a kind of reason.
type ReasonCode string

// The reason codes. They are part of the plan's JSON: never change one.
const (
	// Unsupported: the pod or pool asks for something that is not understood.
	Unsupported ReasonCode = "Unsupported"
	// NoCompatibleOffer: no offer of the pool passes selectors and taints.
	NoCompatibleOffer ReasonCode = "NoCompatibleOffer"
	// InsufficientResources: no compatible offer is large enough for one pod.
	InsufficientResources ReasonCode = "InsufficientResources"
	// LimitReached: the pool's limits leave no room for a node that would do.
	LimitReached ReasonCode = "LimitReached"
	// StockExhausted: the finite offers that would do are used up.
	StockExhausted ReasonCode = "StockExhausted"
	// SpreadUnsatisfiable: a topology spread leaves no domain.
	SpreadUnsatisfiable ReasonCode = "SpreadUnsatisfiable"
	// Excluded: an exclusion leaves no domain.
	Excluded ReasonCode = "Excluded"
	// AffinityUnsatisfiable: no domain holds what the pods must be near to.
	AffinityUnsatisfiable ReasonCode = "AffinityUnsatisfiable"
	// TooFewValues: the offers that would do show fewer values of a label than the
	// pool's MinValues ask for.
	TooFewValues ReasonCode = "TooFewValues"
)

// MaxOffers is the most offers that a pattern lists.
const MaxOffers = 60
