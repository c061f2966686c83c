package provision

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// TestNoRoomForTheVolume: whatever is bought, the driver has no room for the volume there.
func TestNoRoomForTheVolume(t *testing.T) {
	p := waiting("a", "1")
	p.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}}}}
	wait := storagev1.VolumeBindingWaitForFirstConsumer
	meta := func(ns, name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: ns, Name: name, UID: "u", ResourceVersion: "1"}
	}
	r := newRig(t, nodePool("general"), p,
		&storagev1.StorageClass{ObjectMeta: meta("", "local"), Provisioner: "lvm.csi", VolumeBindingMode: &wait},
		&storagev1.CSIDriver{ObjectMeta: meta("", "lvm.csi"), Spec: storagev1.CSIDriverSpec{StorageCapacity: new(true)}},
		&corev1.PersistentVolumeClaim{ObjectMeta: meta("default", "c"), Spec: corev1.PersistentVolumeClaimSpec{StorageClassName: new("local")}})
	for i := range 300 {
		r.step(time.Second)
		for j := 1; j <= r.server.created; j++ { // each machine comes after ten seconds, empty and ready
			name := fmt.Sprintf("general-%d", j)
			c := r.claim(name)
			if c.Status.ProviderID != "" || i%10 != 9 {
				continue
			}
			c.Status.ProviderID = "i-" + name
			c.Status.Conditions = []metav1.Condition{{Type: v1.ConditionRegistered, Status: "True"}, {Type: v1.ConditionInitialized, Status: "True", LastTransitionTime: metav1.NewTime(r.now)}}
			r.seen(c)
			n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "n", ResourceVersion: "1"}, Spec: corev1.NodeSpec{ProviderID: "i-" + name}}
			n.Status.Allocatable = corev1.ResourceList{"cpu": resource.MustParse("2"), "memory": resource.MustParse("8Gi"), "pods": resource.MustParse("20")}
			r.seen(n)
		}
	}
	if r.server.created > 2 {
		t.Errorf("%d nodes were bought in five minutes for one pod: %s", r.server.created, r.claims())
	}
}
