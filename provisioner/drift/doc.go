// Package drift keeps the condition Drifted of NodeClaims: whether a node is still
// what its NodePool and its NodeClass ask for. What follows from it is package
// disrupt's.
//
// [Judge] decides, as a pure function of [Facts]: the rules, in order, are
//
//	NodePoolDrifted       the template has changed: its hash is another
//	RequirementsDrifted   the node's labels do not meet the template's requirements
//	InstanceTypeNotFound  the catalog of its NodeClass is without its instance type
//	(the cloud's)         what cloudprovider.Provider's Drift says
//
// Its laws:
//
//   - A mistake here would replace every node of a cluster. So a rule that lacks
//     something it needs is silent: it neither sets the condition nor takes back one
//     that it has set.
//   - Nothing is asked for one node. The cloud is asked for one list of its machines
//     at most in each interval, and usually not even that (see lifecycle.Roster).
//   - Only launched NodeClaims of a NodePool are judged, and none that is being
//     deleted. One that is not stamped with our hash is left as it was found.
//   - It has no clock, and every step may be repeated.
package drift
