package binpack

import (
	"math"
	"slices"
)

// MicroUSD is a price in millionths of a dollar per hour. Prices are integers
// so that sums and ties do not depend on the order of addition.
type MicroUSD int64

// Unlimited is the value of a limit that never binds.
const Unlimited = math.MaxInt64

// Hostname is the topology key under which every node is a domain of its own.
// As a domain of this key, i < len(Problem.Nodes) is the existing node i.
const Hostname = -1

// NoDomain says that an offer or node does not carry a topology key.
const NoDomain = -1

// A Vector holds one quantity for each of [Problem.Resources], in that order.
// A nil Vector is all zeros.
type Vector []int64

// A Problem is everything that a decision about a batch of pods may depend on.
// Lists refer to each other by index; IDs are unique within their list and
// break every tie, so that the answer does not depend on the order of a list.
// Solve and Verify only read it.
type Problem struct {
	// Resources names the dimensions of every Vector. Quantities are integers
	// in any unit, the same unit throughout: "cpu" in millicores, say.
	Resources []string
	// Keys names the topology keys that Offer.Domains and Node.Domains are
	// indexed by, for reasons and for the text form.
	Keys []string
	// Domains names the domains of each key: Domains[k][d].
	Domains [][]string

	Pools  []Pool
	Offers []Offer
	Nodes  []Node
	Groups []Group

	Exclusions []Exclusion
	Spreads    []Spread
	Affinities []Affinity
	Stocks     []Stock

	// MaxSteps is the budget for improving the first plan, in the solver's own
	// steps; 0 means the solver's default. A step is one look at one place for
	// one group, so a slow machine gives the same answer as a fast one. The first
	// plan is always made whole.
	MaxSteps int64

	// Blend fills existing nodes one by one, each with a mix of pods that uses up all it has, before
	// it puts the dearest pods first. More of a room that most pods are to find there is used so;
	// but where not all pods find a place, it may be one of higher priority that does not.
	Blend bool
}

// A Pool is a set of offers under one policy: a NodePool.
type Pool struct {
	ID string
	// Weight goes before price: a pod that fits an offer of a heavier pool is
	// never put on a new node of a lighter one.
	Weight int32
	// Left is what the pool's limits still allow new nodes to charge, in sums
	// of Offer.Charge. nil means no limits; an entry may be Unlimited. Never
	// negative: a limit that is exceeded already leaves 0.
	Left Vector
	// NodesLeft is how many nodes may still be opened; Unlimited for no limit.
	// The zero value allows none.
	NodesLeft int64
	// NodeFee is added to the price of each new node.
	NodeFee MicroUSD
	// MinValues demands flexibility of each new node: its offers must show at
	// least Min distinct values of a label, unless the one decided on is Relaxed.
	MinValues []MinValues
}

// MinValues asks that the offers of a node carry at least Min distinct values
// at position Label of Offer.Values.
type MinValues struct {
	Label int
	Min   int64
}

// An Offer is one row of the packing: a node that can be opened. It stands for
// NodePool × offering × the values of its multi-valued labels.
type Offer struct {
	ID   string
	Pool int
	// Price of one node for an hour, without the pool's fee. Never negative.
	Price MicroUSD
	// Capacity is what the node offers to pods (allocatable). Overhead is the
	// part of it that DaemonSets take on a node of this offer.
	Capacity, Overhead Vector
	// Charge is what one such node adds to the use of its pool's limits. nil
	// means Capacity.
	Charge Vector
	// Domains holds for each of Problem.Keys the index of the offer's domain,
	// or NoDomain.
	Domains []int
	// Values holds label values for MinValues, as arbitrary equal-or-not IDs.
	Values []int64
	// Variant keeps apart offers of a pool that differ in what the buyer does to the node,
	// such as the labels it gets: a node lists only offers of the same one.
	Variant int64
	// Relaxed frees nodes decided on this offer from the pool's MinValues.
	Relaxed bool
}

// Charged is what one node of o adds to the use of its pool's limits.
func (o *Offer) Charged() Vector {
	if o.Charge == nil {
		return o.Capacity
	}
	return o.Charge
}

// Room is what a node of o has for pods beside those of DaemonSets; nothing of a resource of which these take
// more than there is.
func (o *Offer) Room() Vector {
	room := slices.Clone(o.Capacity)
	for r, q := range o.Overhead {
		room[r] = max(0, room[r]-q)
	}
	return room
}

// wants is what a node decided on an offer must show.
func (p *Problem) wants(offer int) []MinValues {
	if o := &p.Offers[offer]; !o.Relaxed {
		return p.Pools[o.Pool].MinValues
	}
	return nil
}

// A Node is a machine that exists or is on its way. Pods put on it cost nothing.
type Node struct {
	ID string
	// Free is what is left for further pods, DaemonSets already taken off.
	// Never negative: an overcommitted dimension is 0.
	Free Vector
	// Domains as in Offer.
	Domains []int
}

// A Group is a number of pods that are alike in everything that matters here.
type Group struct {
	ID       string
	Count    int64
	Requests Vector
	// Priority orders groups where not all can be placed: higher first.
	Priority int32
	// Offers and Nodes are where a pod of the group may go as far as the pod
	// alone decides it: selectors, affinity, taints, volumes, and the pods that
	// already run. They do not speak of resources.
	Offers, Nodes Set
	// MaxPerNode is the most pods of the group on one new node; 0 means no limit.
	MaxPerNode int64
	// Unsupported names a field that asks for something the caller could not
	// translate. If it is not empty the group is left unplaced for that reason.
	Unsupported string
}

// An Exclusion keeps pods of A out of every domain of Key that holds another
// pod of B, and the other way round: anti-affinity, host ports. A group in both
// A and B excludes itself: at most one of its pods in a domain. Pods that
// already run are not in the problem: the caller leaves their domains out of
// Group.Offers and Group.Nodes.
type Exclusion struct {
	ID   string
	Key  int // index into Problem.Keys, or Hostname
	A, B Set // of groups
}

// A Spread keeps the pods that Counted matches even over the domains of Key, for
// the sake of the pods of Owners: in each domain that receives a pod of Owners,
// the number of Counted pods is at most MaxSkew above the lowest number in any
// eligible domain. Over Hostname the lowest is taken as 0, since a new node can
// always be opened.
type Spread struct {
	ID              string
	Key             int
	Owners, Counted Set // of groups
	MaxSkew         int64
	// MinDomains: with fewer eligible domains, the lowest number is taken as 0.
	MinDomains int64
	// Domains lists the eligible domains with the matching pods that already
	// run there. Owners go to no other domain of Key. Over Hostname it lists
	// only existing nodes that hold some; every node is eligible.
	Domains []DomainCount
}

// A DomainCount is a number of pods that run in a domain.
type DomainCount struct {
	Domain int
	Count  int64
}

// An Affinity lets pods of Owners go only to domains of Key that hold a pod of
// Targets, among those that run (Present) and those that this plan places. If
// none is present in any domain, owners that are targets themselves may start
// one domain, and only one.
type Affinity struct {
	ID              string
	Key             int
	Owners, Targets Set // of groups
	Present         Set // of domains
}

// A Stock is a finite supply, as a capacity reservation is: the new nodes that have any of
// Offers among their offers take at most Count units of it together.
type Stock struct {
	ID     string
	Offers Set
	Count  int64
	// Units says for each of Problem.Offers how many units a node takes, at least 1 where it is
	// one of Offers; of several that a node lists, the most counts. nil means 1 each.
	Units []int64
}
