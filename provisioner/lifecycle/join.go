package lifecycle

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/stowage-sh/stowage/provisioner/nodepool"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// register makes a node that joined ours: it gets the labels, annotations,
// taints, finalizer and owner of its claim, and only then loses the taint that
// kept all pods away. It is one patch, so nobody sees the node half done. A node
// that was registered before and joined anew is registered anew.
func (c *Controller) register(ctx context.Context, now time.Time, claim *v1.NodeClaim, node *corev1.Node) error {
	closed := hasTaint(node, v1.UnregisteredTaint())
	labelled := node.Labels[v1.LabelRegistered] == "true"
	was := v1.IsTrue(claim.Status.Conditions, v1.ConditionRegistered)
	if was && labelled && !closed {
		return nil
	}
	if !labelled && !closed {
		c.unregistrable(now, claim, node)
		return nil
	}
	if closed { // else a crash kept the condition from being written; taints that went since stay away
		if err := c.open(ctx, now, claim, node); err != nil {
			return err
		}
	}
	if was {
		return nil
	}
	if NodeReady(node) { // else it may never be
		if err := c.noteSuccess(ctx, claim); err != nil {
			return err
		}
	}
	claim.Status.NodeName = node.Name
	set(claim, now, v1.ConditionRegistered, metav1.ConditionTrue)
	c.Metrics.registered(claim)
	logr.FromContextOrDiscard(ctx).Info("registered nodeclaim", "NodeClaim", klogRef(claim), "Node", klogRef(node), "provider-id", claim.Status.ProviderID)
	return nil
}

// noteSuccess clears the failures of the NodePool of a claim that became a node.
func (c *Controller) noteSuccess(ctx context.Context, claim *v1.NodeClaim) error {
	pool, ok := c.Cluster.Snapshot().NodePools.Get(claim.Labels[v1.LabelNodePool])
	if !ok {
		return nil
	}
	return nodepool.NoteSuccess(ctx, c.Write, pool)
}

// open syncs a node with its claim and takes the taint off that kept pods away.
func (c *Controller) open(ctx context.Context, now time.Time, claim *v1.NodeClaim, node *corev1.Node) error {
	if c.BeforeOpen != nil {
		if err := c.BeforeOpen(ctx, now, claim, node); err != nil {
			return fmt.Errorf("preparing to open node %s: %w", node.Name, err)
		}
	}
	before := node.DeepCopy()
	dress(node, claim)
	if err := c.Write.Patch(ctx, node, locked(before)); err != nil {
		return fmt.Errorf("registering node %s: %w", node.Name, err)
	}
	return nil
}

// unregistrable says, once, that a node joined without the taint that keeps pods
// away until it is registered: pods may be on it that its own taints exclude, so
// it is not taken over, and its claim is given up in time.
func (c *Controller) unregistrable(now time.Time, claim *v1.NodeClaim, node *corev1.Node) {
	const reason = "UnregisteredTaintNotFound"
	message := fmt.Sprintf("node %s joined without taint %s:%s", node.Name, v1.TaintUnregistered, corev1.TaintEffectNoExecute)
	if old := v1.GetCondition(claim.Status.Conditions, v1.ConditionRegistered); old == nil || old.Reason != reason {
		c.Events.Event(claim, corev1.EventTypeWarning, "UnregisteredTaintMissing", message)
	}
	set(claim, now, v1.ConditionRegistered, metav1.ConditionUnknown, reason, message)
}

// dress gives a node everything of its claim and opens it.
func dress(node *corev1.Node, claim *v1.NodeClaim) {
	if node.Labels == nil {
		node.Labels = map[string]string{}
	}
	maps.Copy(node.Labels, claim.Labels)
	node.Labels[v1.LabelRegistered] = "true"
	if node.Annotations == nil {
		node.Annotations = map[string]string{}
	}
	for k, v := range claim.Annotations {
		if k != v1.AnnotationOfferings { // of use to the launch alone
			node.Annotations[k] = v
		}
	}
	if node.Labels[v1.LabelDoNotSyncTaints] != "true" {
		for _, t := range claimTaints(claim) {
			if !hasTaint(node, t) {
				node.Spec.Taints = append(node.Spec.Taints, t)
			}
		}
	}
	node.Spec.Taints = withoutTaint(node.Spec.Taints, v1.UnregisteredTaint())
	controllerutil.AddFinalizer(node, v1.FinalizerTermination)
	block := true
	owner := metav1.OwnerReference{
		APIVersion: v1.GroupVersion.String(), Kind: "NodeClaim", Name: claim.Name, UID: claim.UID, BlockOwnerDeletion: &block,
	}
	if !slices.ContainsFunc(node.OwnerReferences, func(r metav1.OwnerReference) bool { return r.UID == owner.UID }) {
		node.OwnerReferences = append(node.OwnerReferences, owner)
	}
}

// initialize marks a registered node as ready for all its pods, once it is.
func (c *Controller) initialize(ctx context.Context, now time.Time, claim *v1.NodeClaim, node *corev1.Node) error {
	if !v1.IsTrue(claim.Status.Conditions, v1.ConditionRegistered) {
		return nil
	}
	was := v1.IsTrue(claim.Status.Conditions, v1.ConditionInitialized)
	if was && node.Labels[v1.LabelInitialized] == "true" {
		return nil
	}
	if reason, message := notInitialized(claim, node); reason != "" {
		if !was {
			set(claim, now, v1.ConditionInitialized, metav1.ConditionUnknown, reason, message)
		}
		return nil
	}
	before := node.DeepCopy()
	node.Labels[v1.LabelInitialized] = "true"
	if !maps.Equal(before.Labels, node.Labels) {
		if err := c.Write.Patch(ctx, node, client.MergeFrom(before)); err != nil {
			return fmt.Errorf("initializing node %s: %w", node.Name, err)
		}
	}
	if !was {
		if err := c.noteSuccess(ctx, claim); err != nil {
			return err
		}
	}
	set(claim, now, v1.ConditionInitialized, metav1.ConditionTrue)
	if !was {
		logr.FromContextOrDiscard(ctx).Info("initialized nodeclaim", "NodeClaim", klogRef(claim), "Node", klogRef(node), "provider-id", claim.Status.ProviderID)
	}
	return nil
}

// notInitialized says what a node still lacks; an empty reason means nothing.
func notInitialized(claim *v1.NodeClaim, node *corev1.Node) (reason, message string) {
	if !NodeReady(node) {
		return "NodeNotReady", fmt.Sprintf("node %s is not Ready", node.Name)
	}
	for _, t := range claim.Spec.StartupTaints {
		if hasTaint(node, t) {
			return "StartupTaintsExist", fmt.Sprintf("startup taint %s is still on the node", t.ToString())
		}
	}
	for _, t := range node.Spec.Taints {
		if v1.IsEphemeralTaint(t) {
			return "KnownEphemeralTaintsExist", fmt.Sprintf("taint %s is still on the node", t.ToString())
		}
	}
	names := slices.Sorted(maps.Keys(claim.Spec.Resources.Requests))
	for _, name := range names {
		want, have := claim.Spec.Resources.Requests[name], node.Status.Allocatable[name]
		if !want.IsZero() && have.IsZero() {
			return "ResourceNotRegistered", fmt.Sprintf("resource %s was asked for, and the node has none yet", name)
		}
	}
	return "", ""
}

// NodeReady reports whether kubelet says that the node is ready, and is believed.
func NodeReady(node *corev1.Node) bool {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// hasTaint compares key and effect, as Kubernetes tells taints apart.
func hasTaint(node *corev1.Node, t corev1.Taint) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(n corev1.Taint) bool { return n.MatchTaint(&t) })
}

func withoutTaint(taints []corev1.Taint, t corev1.Taint) []corev1.Taint {
	return slices.DeleteFunc(slices.Clone(taints), func(n corev1.Taint) bool { return n.MatchTaint(&t) })
}
