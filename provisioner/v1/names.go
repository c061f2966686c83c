package v1

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Labels of group karpenter.sh.
const (
	// LabelNodePool on a node and a NodeClaim names the NodePool it came from.
	LabelNodePool = Group + "/nodepool"
	// LabelRegistered on a node is "true" once its labels and taints are synced.
	LabelRegistered = Group + "/registered"
	// LabelInitialized on a node is "true" once it is ready for all its pods.
	LabelInitialized = Group + "/initialized"
	// LabelCapacityType says how a node is paid for: see CapacityTypes.
	LabelCapacityType = Group + "/capacity-type"
	// LabelDoNotSyncTaints on a node says that it registers with its taints
	// itself, and that they are not to be written again.
	LabelDoNotSyncTaints = Group + "/do-not-sync-taints"
)

// CapacityTypes are the values of LabelCapacityType.
var CapacityTypes = []string{"on-demand", "reserved", "spot"}

// Annotations of group karpenter.sh.
const (
	// AnnotationDoNotDisrupt on a pod or node is "true", or on a pod a duration
	// from its start, for which no voluntary disruption touches it.
	AnnotationDoNotDisrupt = Group + "/do-not-disrupt"
	// AnnotationNodePoolHash is the NodePool's Hash that a NodeClaim was made
	// from; a NodeClaim whose hash is not its NodePool's has drifted.
	AnnotationNodePoolHash = Group + "/nodepool-hash"
	// AnnotationNodePoolHashVersion says how AnnotationNodePoolHash was computed.
	// Hashes of two versions are never compared.
	AnnotationNodePoolHashVersion = Group + "/nodepool-hash-version"
	// AnnotationTerminationTimestamp on a NodeClaim and its node is the moment,
	// RFC 3339, after which its drain no longer waits for anybody.
	AnnotationTerminationTimestamp = Group + "/nodeclaim-termination-timestamp"
	// AnnotationMinValuesRelaxed on a NodeClaim is "true" if minValues could not
	// be kept.
	AnnotationMinValuesRelaxed = Group + "/nodeclaim-min-values-relaxed"
	// AnnotationRequestedDRADrivers on a NodeClaim lists the device drivers that
	// its pods wait for.
	AnnotationRequestedDRADrivers = Group + "/requested-dra-drivers"
	// AnnotationPriceOverlay on a NodeClaim says that a NodeOverlay set its price.
	AnnotationPriceOverlay = Group + "/price-overlay-applied"
	// AnnotationCapacityOverlay on a NodeClaim says that a NodeOverlay added to
	// its capacity.
	AnnotationCapacityOverlay = Group + "/capacity-overlay-applied"
	// AnnotationProviderCompatibility carries what a provider needs to convert an
	// object from an older version.
	AnnotationProviderCompatibility = "compatibility." + Group + "/provider"

	// AnnotationBufferPod marks a pod that stands for spare capacity.
	AnnotationBufferPod = Group + "/capacity-buffer-fake-pod"
	// AnnotationBufferName on such a pod names its CapacityBuffer.
	AnnotationBufferName = Group + "/capacity-buffer-name"
	// AnnotationBufferNamespace on such a pod is its CapacityBuffer's namespace.
	AnnotationBufferNamespace = Group + "/capacity-buffer-namespace"
)

// Stowage's own names. Its additions to objects of other groups are always
// annotations and labels under stowage.sh/, never fields.
const (
	// AnnotationOfferings on a NodeClaim is the ordered list of offerings that the
	// plan decided on, "type/zone/capacity-type" separated by commas. The launch
	// takes one of them. Where it is absent, the requirements decide.
	AnnotationOfferings = "stowage.sh/offerings"
	// AnnotationLaunchGroup on a NodeClaim says with which others it is launched; see
	// GroupLaunches.
	AnnotationLaunchGroup = "stowage.sh/launch-group"
	// AnnotationRepair on a NodeClaim is the condition of its node for which it is
	// deleted, as in Ready=Unknown. With it the termination timestamp is written.
	AnnotationRepair = "stowage.sh/repair"
	// MaxOfferings is the most offerings that AnnotationOfferings may list.
	MaxOfferings = 60
	// AnnotationPreferencePrice on a NodePool says how much more a pod may cost on its
	// nodes to be where it prefers to be; see NodePool.PreferencePrice.
	AnnotationPreferencePrice = "stowage.sh/preference-price"
	// AnnotationConsolidationPayback on a NodePool says within which time savings have to pay for the
	// evictions that they take; see NodePool.ConsolidationPayback.
	AnnotationConsolidationPayback = "stowage.sh/consolidation-payback"
	// AnnotationInstanceSurcharge on a NodePool is what each of its nodes costs an hour beside what the
	// cloud takes; see NodePool.InstanceSurcharge.
	AnnotationInstanceSurcharge = "stowage.sh/instance-surcharge"
	// AnnotationInterruptionCost on a NodePool is what it costs when the cloud takes back one of its
	// machines; see NodePool.InterruptionCost.
	AnnotationInterruptionCost = "stowage.sh/interruption-cost"
	// AnnotationNodeSlack on a NodePool says how much of a new node plans leave free; see NodePool.NodeSlack.
	AnnotationNodeSlack = "stowage.sh/node-slack"
	// AnnotationSurge on a Deployment, on its pods or on a NodePool asks ("true") for a pod that is
	// its Deployment's only one to be replaced before it ends, where its node goes.
	AnnotationSurge = "stowage.sh/surge"
	// AnnotationSurgedFor in a Deployment's pod template is the UID of the NodeClaim for which the
	// Deployment was rolled last.
	AnnotationSurgedFor = "stowage.sh/surged-for"
	// NodePoolHashVersion is the version of NodePool.Hash. It is Stowage's own and
	// unlike any of Karpenter's, so that a cluster that changes hands has its
	// nodes stamped anew instead of drifting them all.
	NodePoolHashVersion = "stowage-v1"
)

// FinalizerTermination on a NodeClaim and its Node holds them until the node is
// drained and its machine is gone.
const FinalizerTermination = Group + "/termination"

// Keys of taints.
const (
	// TaintDisrupted keeps new pods from a node that is about to go.
	TaintDisrupted = Group + "/disrupted"
	// TaintLeaving makes kube-scheduler prefer other nodes to one that is to go soon.
	TaintLeaving = "stowage.sh/leaving"
	// TaintUnregistered keeps all pods from a node until it is registered.
	TaintUnregistered = Group + "/unregistered"
	// TaintReadinessPrefix begins the keys of taints that readiness gates of nodes
	// set and remove by themselves.
	TaintReadinessPrefix = "readiness.k8s.io/"
	// TaintCloudUninitialized is on a node until its cloud controller has seen it.
	TaintCloudUninitialized = "node.cloudprovider.kubernetes.io/uninitialized"
)

// DisruptedTaint is put on a node before it is drained.
func DisruptedTaint() corev1.Taint {
	return corev1.Taint{Key: TaintDisrupted, Effect: corev1.TaintEffectNoSchedule}
}

// LeavingTaint is put on a node that is to go as soon as other nodes have: pods that go elsewhere
// need not move again.
func LeavingTaint() corev1.Taint {
	return corev1.Taint{Key: TaintLeaving, Effect: corev1.TaintEffectPreferNoSchedule}
}

// UnregisteredTaint is what a node joins the cluster with.
func UnregisteredTaint() corev1.Taint {
	return corev1.Taint{Key: TaintUnregistered, Effect: corev1.TaintEffectNoExecute}
}

// The drain writes LabelExcludeBalancers = ExcludedBy on a node, so that load
// balancers stop sending to it before its pods go.
const (
	LabelExcludeBalancers = corev1.LabelNodeExcludeBalancers
	ExcludedBy            = "karpenter"
)

// NormalizedLabels maps label keys of the past to those that mean the same today.
// Requirements and node labels are compared after the translation.
var NormalizedLabels = map[string]string{
	corev1.LabelFailureDomainBetaZone:   corev1.LabelTopologyZone,
	corev1.LabelFailureDomainBetaRegion: corev1.LabelTopologyRegion,
	corev1.LabelInstanceType:            corev1.LabelInstanceTypeStable,
	"beta.kubernetes.io/arch":           corev1.LabelArchStable,
	"beta.kubernetes.io/os":             corev1.LabelOSStable,
}

// WellKnownLabels are the keys that every offering has a value for, or may have:
// a pod may ask for them though its NodePool does not name them.
var WellKnownLabels = []string{
	LabelCapacityType,
	LabelNodePool,
	corev1.LabelArchStable,
	corev1.LabelOSStable,
	corev1.LabelInstanceTypeStable,
	corev1.LabelWindowsBuild,
	corev1.LabelTopologyRegion,
	corev1.LabelTopologyZone,
}

// IsEphemeralTaint reports whether t is one of the taints that a node carries
// only while it starts, by nobody's wish: planning does not count them on a
// node that is not initialized.
func IsEphemeralTaint(t corev1.Taint) bool {
	switch t.Key {
	case corev1.TaintNodeNotReady:
		return t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute
	case corev1.TaintNodeUnreachable:
		return t.Effect == corev1.TaintEffectNoSchedule
	case TaintCloudUninitialized:
		return t.Effect == corev1.TaintEffectNoSchedule && t.Value == "true"
	case TaintUnregistered:
		return t.Effect == corev1.TaintEffectNoExecute
	}
	return strings.HasPrefix(t.Key, TaintReadinessPrefix)
}
