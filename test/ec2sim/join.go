package ec2sim

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
)

// uninitialized is the taint of a node that its cloud controller has not seen yet.
var uninitialized = corev1.Taint{Key: "node.cloudprovider.kubernetes.io/uninitialized", Value: "true", Effect: corev1.TaintEffectNoSchedule}

// The conditions a node joins with, as kubelet words them.
const (
	readyReason    = "KubeletReady"
	readyMessage   = "kubelet is posting ready status"
	notReadyReason = "KubeletNotReady"
	notReadyText   = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized"
	lostReason     = "NodeStatusUnknown"
	lostMessage    = "Kubelet stopped posting node status."
)

// join registers the node, NotReady; has the cloud controller label it; and makes
// it Ready. A stop ends it at any point.
func (s *Server) join(i *instance, k *kubelet) error {
	node, err := s.newNode(i, k)
	if err != nil {
		return err
	}
	// The taint node.kubernetes.io/not-ready is not ours to set: the API server
	// adds it to a new node, and the node lifecycle controller takes it away.
	// Kubelet keeps trying as well: a node must not be lost to an API server that
	// restarts while it boots.
	err = s.until(i.stop, func(ctx context.Context) error {
		_, err := s.opts.Client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("registering node %s: %w", node.Name, err)
	}
	s.mu.Lock()
	i.node = node.Name
	s.mu.Unlock()
	s.say(i, "registered node %s", node.Name)
	// Until the cloud controller has been there, the node has no zone.
	if !s.rest(i.stop, i.delays.CloudIn) {
		return nil
	}
	if err := s.until(i.stop, func(ctx context.Context) error { return s.initializeNode(ctx, i) }); err != nil {
		return fmt.Errorf("initializing node %s: %w", node.Name, err)
	}
	if !s.rest(i.stop, i.delays.Ready) {
		return nil
	}
	patch := status{Conditions: []corev1.NodeCondition{condition(corev1.ConditionTrue, readyReason, readyMessage)}}
	if name, n := i.sees(); n > 0 { // the device plugin starts with the pods
		patch.Capacity = map[string]string{name: fmt.Sprint(n)}
		patch.Allocatable = patch.Capacity
	}
	if err := s.until(i.stop, func(ctx context.Context) error { return s.patchStatus(ctx, node.Name, patch) }); err != nil {
		return fmt.Errorf("making node %s ready: %w", node.Name, err)
	}
	s.say(i, "node %s is ready", node.Name)
	return nil
}

// newNode is the Node that kubelet posts.
func (s *Server) newNode(i *instance, k *kubelet) (*corev1.Node, error) {
	device, gib := i.image.podDisk()
	capacity, allocatable, err := k.resources(i.kind, cmp.Or(i.spec.disks[device], gib))
	if err != nil {
		return nil, err
	}
	system, name := "linux", map[Bootstrap]string{Settings: "Bottlerocket OS", Script: "Amazon Linux 2", NodeADM: "Amazon Linux 2023"}[i.image.Bootstrap]
	if i.image.WindowsBuild != "" {
		system, name = "windows", "Windows Server"
	}
	labels := map[string]string{
		corev1.LabelHostname: i.dns, corev1.LabelArchStable: i.kind.Arch, corev1.LabelOSStable: system,
		"beta.kubernetes.io/arch": i.kind.Arch, "beta.kubernetes.io/os": system,
	}
	if i.image.WindowsBuild != "" {
		labels[corev1.LabelWindowsBuild] = i.image.WindowsBuild
	}
	for key, value := range k.labels {
		labels[key] = value
	}
	conditions := []corev1.NodeCondition{condition(corev1.ConditionFalse, notReadyReason, notReadyText)}
	for _, c := range []struct {
		kind            corev1.NodeConditionType
		reason, message string
	}{
		{corev1.NodeMemoryPressure, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"},
		{corev1.NodeDiskPressure, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"},
		{corev1.NodePIDPressure, "KubeletHasSufficientPID", "kubelet has sufficient PID available"},
	} {
		x := condition(corev1.ConditionFalse, c.reason, c.message)
		x.Type = c.kind
		conditions = append(conditions, x)
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: i.dns, Labels: labels, Annotations: map[string]string{
			"kwok.x-k8s.io/node": "fake", "volumes.kubernetes.io/controller-managed-attach-detach": "true",
		}},
		// kubelet runs with an external cloud provider, hence the second taint.
		Spec: corev1.NodeSpec{ProviderID: i.providerID(), Taints: append(slices.Clone(k.taints), uninitialized)},
		Status: corev1.NodeStatus{
			Capacity: capacity, Allocatable: allocatable, Conditions: conditions,
			Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: i.ip}, {Type: corev1.NodeInternalDNS, Address: i.dns}, {Type: corev1.NodeHostName, Address: i.dns}},
			NodeInfo: corev1.NodeSystemInfo{Architecture: i.kind.Arch, OperatingSystem: system, OSImage: name + " (simulated)",
				KubeletVersion: "v" + s.opts.Cluster.Version + ".0-eks-simulated", ContainerRuntimeVersion: "containerd://simulated", KernelVersion: "6.12.0"},
		},
	}, nil
}

// initializeNode is the cloud controller's visit: it labels the node with what
// only the cloud knows, and takes its taint away.
func (s *Server) initializeNode(ctx context.Context, i *instance) error {
	zone, _ := s.world.zone(i.offering.Zone)
	nodes := s.opts.Client.CoreV1().Nodes()
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		node, err := nodes.Get(ctx, i.dns, metav1.GetOptions{})
		if err != nil {
			return err
		}
		// An Update and not a patch: it can lose against whoever else writes to a young node,
		// and others can lose against it. Both have to cope.
		if node.Labels == nil {
			node.Labels = map[string]string{}
		}
		for key, value := range map[string]string{
			corev1.LabelInstanceTypeStable: i.kind.Name, corev1.LabelTopologyZone: zone.Name, corev1.LabelTopologyRegion: s.opts.Region,
			"topology.k8s.aws/zone-id": zone.ID,
		} {
			node.Labels[key] = value
		}
		node.Spec.Taints = slices.DeleteFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == uninitialized.Key })
		_, err = nodes.Update(ctx, node, metav1.UpdateOptions{})
		return err
	})
}

// loseNode makes a node NotReady, as the node lifecycle controller does when
// heartbeats stay away.
func (s *Server) loseNode(i *instance) {
	if i.node == "" {
		return
	}
	err := s.until(nil, func(ctx context.Context) error {
		return s.patchStatus(ctx, i.node, status{Conditions: []corev1.NodeCondition{condition(corev1.ConditionUnknown, lostReason, lostMessage)}})
	})
	if err != nil && !apierrors.IsNotFound(err) {
		s.say(i, "losing node %s: %v", i.node, err)
	}
}

// deleteNode removes the Node of an instance that is gone, as the cloud node
// lifecycle controller does. A finalizer may keep it.
func (s *Server) deleteNode(i *instance) {
	if i.node == "" {
		return
	}
	err := s.until(nil, func(ctx context.Context) error {
		return s.opts.Client.CoreV1().Nodes().Delete(ctx, i.node, metav1.DeleteOptions{})
	})
	if err != nil && !apierrors.IsNotFound(err) {
		s.say(i, "deleting node %s: %v", i.node, err)
	}
}

// A status is what is written of a Node's status; quantities are text so that
// absent ones stay out of the patch.
type status struct {
	Conditions  []corev1.NodeCondition `json:"conditions,omitempty"`
	Capacity    map[string]string      `json:"capacity,omitempty"`
	Allocatable map[string]string      `json:"allocatable,omitempty"`
}

// patchStatus merges into a Node's status: conditions by their type, resources by
// their name, as kubelet's own patches do.
func (s *Server) patchStatus(ctx context.Context, name string, st status) error {
	patch, err := json.Marshal(map[string]any{"status": st})
	if err != nil {
		return fmt.Errorf("encoding a patch: %w", err)
	}
	_, err = s.opts.Client.CoreV1().Nodes().Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}

// condition is the node's condition Ready.
func condition(is corev1.ConditionStatus, reason, message string) corev1.NodeCondition {
	at := metav1.Now()
	return corev1.NodeCondition{Type: corev1.NodeReady, Status: is, Reason: reason, Message: message, LastHeartbeatTime: at, LastTransitionTime: at}
}

// patience is between two attempts at a call to Kubernetes.
const patience = 250 * time.Millisecond

// until repeats a call to Kubernetes while it fails in a way that may pass, and
// neither stop nor Close ends it.
func (s *Server) until(stop <-chan struct{}, f func(context.Context) error) error {
	for {
		err := f(s.ctx)
		if err == nil || apierrors.IsNotFound(err) || apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err) {
			return err
		}
		select {
		case <-time.After(patience):
		case <-stop:
			return err
		case <-s.ctx.Done():
			return err
		}
	}
}
