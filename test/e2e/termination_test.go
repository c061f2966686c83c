package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/ec2sim"
)

// nodePoolDeleted: the nodes of a NodePool that is deleted drain and go, and
// their pods move to another. In the foreground the NodePool is the last to go.
func nodePoolDeleted(scene string, propagation metav1.DeletionPropagation) func(*testing.T) {
	return func(t *testing.T) {
		s := newScene(t, scene, class{})
		s.pool(pool{Name: "old", Weight: 50, Types: "m5.large"})
		s.pool(pool{Name: "new", Types: "c5.xlarge"})
		s.poolsReady()
		s.deploy(pods{Name: "web", Count: 2})
		s.running("web", 2)
		if old := len(s.bought("old")); old != 2 {
			t.Fatalf("NodePool old bought %d instances, want 2", old)
		}
		s.must(here.Client.Delete(s.ctx(), s.nodePool("old"), client.PropagationPolicy(propagation)))
		eventually(t, "the NodeClaims of the NodePool are gone", func() error {
			if left := s.claims("old"); len(left) > 0 {
				return fmt.Errorf("NodeClaim %s stands: %v", left[0].Name, left[0].Status.Conditions)
			}
			return nil
		})
		eventually(t, "the NodePool is gone", func() error {
			err := here.Client.Get(s.ctx(), client.ObjectKey{Name: s.poolName("old")}, &v1.NodePool{})
			if apierrors.IsNotFound(err) {
				return nil
			}
			return errors.Join(err, errors.New("it is there"))
		})
		for _, node := range s.hosts(s.running("web", 2)) {
			if got := node.Labels[v1.LabelNodePool]; got != s.poolName("new") {
				t.Errorf("a pod is on a node of NodePool %s", got)
			}
		}
		s.told("Pod", "web", "Evicted", "is going")
	}
}

// An absence is what was seen of pods that are to stay available.
type absence struct {
	down  int // the most that were missing at any time
	moved int // pods that went
}

// watchPods watches count pods of a Deployment, which run, until the function is called.
func (s *scene) watchPods(name string, count int) (end func() absence) {
	s.Helper()
	ctx, stop := context.WithCancel(s.ctx())
	w, err := here.Client.Watch(ctx, &corev1.PodList{}, client.InNamespace(s.name), client.MatchingLabels{"app": name})
	s.must(err)
	seen := make(chan absence)
	go func() {
		defer close(seen)
		up, full := map[types.UID]bool{}, false
		var a absence
		for e := range w.ResultChan() {
			pod, ok := e.Object.(*corev1.Pod)
			if !ok {
				continue
			}
			up[pod.UID] = pod.DeletionTimestamp == nil && pod.Status.Phase == corev1.PodRunning
			if e.Type == watch.Deleted {
				delete(up, pod.UID)
				a.moved++
			}
			n := 0
			for _, is := range up {
				if is {
					n++
				}
			}
			if full = full || n == count; full { // the watch begins with one at a time
				a.down = max(a.down, count-n)
			}
		}
		seen <- a
	}()
	return func() absence {
		stop()
		w.Stop()
		return <-seen
	}
}

// nodeClaimDeleted: a node with four pods of a budget that lets one go at a time is
// drained after its NodeClaim was deleted by hand. Two of them are never down at once.
func nodeClaimDeleted(t *testing.T) {
	s := newScene(t, "gently", class{})
	s.pool(pool{Types: "m5.xlarge"})
	s.deploy(pods{Name: "four", Count: 4, CPU: "500m"})
	old := s.hosts(s.running("four", 4))
	if len(old) != 1 {
		t.Fatalf("the pods are on %d nodes, want 1", len(old))
	}
	s.apply("{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: four, namespace: " + s.name +
		"}, spec: {maxUnavailable: 1, selector: {matchLabels: {app: four}}}}")
	end := s.watchPods("four", 4)
	claim := s.claims("")[0]
	s.must(s.delete(&claim))
	eventually(t, "the NodeClaim is gone", func() error {
		err := here.Client.Get(s.ctx(), client.ObjectKeyFromObject(&claim), &claim)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(err, fmt.Errorf("its conditions are %v", claim.Status.Conditions))
	})
	for _, node := range s.hosts(s.running("four", 4)) {
		if node.Name == old[0].Name {
			t.Errorf("a pod is still on node %s", node.Name)
		}
	}
	if a := end(); a.down != 1 || a.moved != 4 {
		t.Errorf("%d of the pods were down at once, %d moved; want 1 and 4", a.down, a.moved)
	}
	s.told("Pod", "four", "Evicted", "is going")
}

// nodeDeleted: a Node is deleted by hand. A pod with do-not-disrupt keeps it until the
// deadline of its terminationGracePeriod, and not longer.
func nodeDeleted(t *testing.T) {
	s := newScene(t, "deadline", class{})
	s.pool(pool{Types: "m5.large", Grace: "15s"})
	s.deploy(pods{Name: "kept", Count: 1, Undisrupted: true})
	host := s.hosts(s.running("kept", 1))[0]
	s.must(s.delete(&host))
	s.told("Node", host.Name, "FailedDraining", "has karpenter.sh/do-not-disrupt")
	s.told("Node", host.Name, "TerminationGracePeriodExpiring", "whatever protects them")
	// The place of the pod after it is bought meanwhile: another NodeClaim.
	claims := slices.DeleteFunc(s.claims(""), func(c v1.NodeClaim) bool { return c.Status.NodeName != host.Name })
	if len(claims) != 1 {
		t.Fatalf("%d NodeClaims are of node %s", len(claims), host.Name)
	}
	deadline, err := time.Parse(time.RFC3339, claims[0].Annotations[v1.AnnotationTerminationTimestamp])
	if err != nil {
		t.Fatalf("the deadline of NodeClaim %s: %v", claims[0].Name, err)
	}
	s.told("Pod", "kept", "Disrupted", "whatever protects it")
	var events corev1.EventList
	s.must(here.Client.List(s.ctx(), &events, client.InNamespace(s.name), client.MatchingFields{"reason": "Disrupted"}))
	for _, e := range events.Items {
		if at := e.FirstTimestamp.Time; at.Before(deadline) {
			t.Errorf("pod %s, which has no grace period, was told to go at %v, before %v", e.InvolvedObject.Name, at, deadline)
		}
	}
	eventually(t, "the node is gone", func() error {
		if _, ok := s.nodes()[host.Name]; ok {
			return errors.New("it is there")
		}
		return nil
	})
	s.running("kept", 1)
}

const volumeManifests = `
{apiVersion: v1, kind: PersistentVolume, metadata: {name: detached-data}, spec: {
  capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], persistentVolumeReclaimPolicy: Retain, storageClassName: "",
  csi: {driver: ebs.csi.aws.com, volumeHandle: vol-0123456789abcdef0}, claimRef: {namespace: detached, name: data}}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data, namespace: detached}, spec: {
  resources: {requests: {storage: 1Gi}}, accessModes: [ReadWriteOnce], storageClassName: "", volumeName: detached-data}}
---
{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: detached, labels: {app: db}}, spec: {
  terminationGracePeriodSeconds: 0, nodeSelector: {stowage.example/scene: detached},
  tolerations: [{key: stowage.example/scene, value: detached}],
  containers: [{name: main, image: registry.example/main, resources: {requests: {cpu: "1"}}}],
  volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]}}
`

// volumeDetached: a drained node is not given back before kube-controller-manager and the
// driver, which the test plays, have detached the volume of its pod.
func volumeDetached(t *testing.T) {
	s := newScene(t, "detached", class{})
	// kube-controller-manager attaches only where kubelet has said that it leaves that to it.
	s.pool(pool{Types: "m5.large", Annotations: `volumes.kubernetes.io/controller-managed-attach-detach: "true"`})
	t.Cleanup(func() { _ = s.delete(&corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "detached-data"}}) })
	for manifest := range strings.SplitSeq(volumeManifests, "---") {
		s.apply(manifest)
	}
	host := s.hosts(s.running("db", 1))[0]
	var attachment *storagev1.VolumeAttachment
	eventually(t, "the volume is being attached", func() error {
		if attachment = s.attachmentOf("detached-data", host.Name); attachment == nil {
			return errors.New("it has no VolumeAttachment")
		}
		return nil
	})
	before := attachment.DeepCopy()
	attachment.Finalizers = []string{"external-attacher/ebs-csi-aws-com"}
	s.must(here.Client.Patch(s.ctx(), attachment, client.MergeFrom(before)))
	before = attachment.DeepCopy()
	attachment.Status.Attached = true
	s.must(here.Client.Status().Patch(s.ctx(), attachment, client.MergeFrom(before)))

	claim := s.claims("")[0]
	s.must(s.delete(&claim))
	eventually(t, "the drained node waits for its volume, which is being detached", func() error {
		err := here.Client.Get(s.ctx(), client.ObjectKeyFromObject(&claim), &claim)
		c := condition(claim.Status.Conditions, v1.ConditionVolumesDetached)
		if c.Reason != "AwaitingVolumeDetachment" || !strings.Contains(c.Message, "detached-data") || !v1.IsTrue(claim.Status.Conditions, v1.ConditionDrained) {
			return errors.Join(err, fmt.Errorf("its conditions are %v", claim.Status.Conditions))
		}
		if attachment = s.attachmentOf("detached-data", host.Name); attachment == nil || attachment.DeletionTimestamp == nil {
			return errors.Join(err, errors.New("kube-controller-manager is not detaching it"))
		}
		return err
	})
	if i := s.instances()[0]; i.State != ec2sim.Running {
		t.Errorf("instance %s is %s with a volume attached", i.ID, i.State)
	}
	s.told("Node", host.Name, "AwaitingVolumeDetachment", "detached-data")
	before = attachment.DeepCopy()
	attachment.Finalizers = nil
	s.must(here.Client.Patch(s.ctx(), attachment, client.MergeFrom(before)))
	eventually(t, "the node is gone", s.left)
}

// attachmentOf returns what attaches a volume to a node, nil if there is none.
func (s *scene) attachmentOf(volume, node string) *storagev1.VolumeAttachment {
	s.Helper()
	var list storagev1.VolumeAttachmentList
	s.must(here.Client.List(s.ctx(), &list))
	for i, a := range list.Items {
		if pv := a.Spec.Source.PersistentVolumeName; a.Spec.NodeName == node && pv != nil && *pv == volume {
			return &list.Items[i]
		}
	}
	return nil
}
