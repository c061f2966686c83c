package problem

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// An Input is all that a decision about a batch of pods depends on. Build only
// reads it.
type Input struct {
	Snapshot *state.Snapshot
	// Pods to place, in any order: those that wait (see Provisionable), and those that are to
	// leave the node that they are on.
	Pods []*corev1.Pod
	// Leaving are NodeClaims, by name, that take no pods, beside those that are on their way
	// out already.
	Leaving map[string]bool
	// Catalogs says what can be bought for each NodePool, by its name. A
	// NodePool without one offers nothing, for the reason in Excluded.
	Catalogs map[string]*cloudprovider.Catalog
	// Prices of offerings, and what of them is paid for already. One whose price is not known is
	// not used.
	Prices *pricing.Table
	// Overlays change prices and capacities; see OverlaysOf and JudgeOverlays.
	Overlays Overlays
	// Unavailable reports offerings that ran out; nil means none.
	Unavailable func(cloudprovider.Offering) bool
	// Excluded says why a NodePool must not buy now, by its name.
	Excluded map[string]string
	// NodesLeft caps the new nodes of a NodePool, by its name, below its limits.
	NodesLeft map[string]int64
	// Spreads that pods without any of their own get.
	Spreads DefaultSpreads
	// IgnorePreferences leaves what pods prefer, and PreferNoSchedule taints, to
	// kube-scheduler. Otherwise it is heard where
	// that costs little; see Decide.
	IgnorePreferences bool
	// RelaxMinValues lowers minValues to what offerings show, on the nodes of pods that would
	// find no place else. It is Karpenter's policy BestEffort; otherwise they are Strict.
	RelaxMinValues bool
	// GiveBack has rows of commitments also where there is not enough left of them now: some
	// machines may go.
	GiveBack bool
	// Lost are pods for which a node was bought that has not taken them.
	Lost map[types.UID]bool
	// Nominates says that pods will be nominated to the new nodes; see Thin.
	Nominates bool
	// MaxSteps as in binpack.Problem.
	MaxSteps int64

	// Full lets new nodes be filled whole, whatever slack their NodePools want: what was decided on with slack, which
	// depends on all the pods of a decision, is looked at again.
	Full bool
	// fewNodes makes nodes of NodePools dear that may open only so many.
	fewNodes bool
	// standBack are pods that Decide lets come last where they compete for claims and volumes.
	standBack map[types.UID]bool
	// unheard are pods whose preferences Decide leaves out, relaxed those whose nodes it lets
	// have fewer values than minValues ask for.
	unheard, relaxed map[types.UID]bool
}

// A Translation is a problem with the way back to the objects it was made from.
type Translation struct {
	Problem *binpack.Problem
	// Pods of each group, by namespace and name.
	Pods [][]*corev1.Pod
	// Rows behind each offer.
	Rows []Row
	// Bins behind each existing node.
	Bins []Bin
	// Pools behind each pool.
	Pools []*v1.NodePool
	// Excluded lists the NodePools that offer nothing, with the reason, by name.
	Excluded []Exclusion
	// Thinning is what Decide pays an hour for having pods that spread one by one on nodes.
	Thinning binpack.MicroUSD

	// requests of one pod of each group.
	requests []cloudprovider.Resources
	daemons  []daemon
	volumes  *volumes
	// limits says how many volumes may be attached, by CSI driver.
	limits map[string]attachLimits
	// namespaces that the rules look at.
	namespaces *namespaces
	// heard are the groups of which a preference has become a requirement.
	heard binpack.Set
	// capped holds the NodePools of which Input.NodesLeft decided how many nodes
	// they may open, and not their limits.
	capped map[string]bool
	// keptOut lists for a group the domains that running pods keep it out of by
	// anti-affinity, theirs or its own. One may be there more than once.
	keptOut map[int][]string
	// ruledOut says for a group what else keeps it from new nodes that its own spec lets it
	// use: DaemonSets, by their pods. One may be there more than once.
	ruledOut map[int][]string
	// incompatible keeps why no offering passes what a pod's own spec asks, by that and the NodePool.
	incompatible map[[2]string]string
	committed    *committed
	// waits says for a group what its pods wait for instead of a node.
	waits map[int]string
}

// An Exclusion says why a NodePool offers nothing to this batch.
type Exclusion struct {
	Pool, Reason string
}
