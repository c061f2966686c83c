package state

import (
	"fmt"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// BenchmarkChange is one change of a pod among 100,000 on 5,000 nodes, the snapshot after it, and
// a look at the pods of its node.
func BenchmarkChange(b *testing.B) {
	c := New()
	make := func(i, version int) *corev1.Pod {
		name := fmt.Sprintf("web-%02d-5d9c7b6f4-%06d", i%100, i)
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "team-" + strconv.Itoa(i%100), Name: name, UID: types.UID(name), ResourceVersion: strconv.Itoa(version)},
			Spec: corev1.PodSpec{NodeName: fmt.Sprintf("ip-10-0-%05d.region-1.compute.internal", i/20)}}
	}
	for i := range 100_000 {
		c.Observe(make(i, 1))
	}
	b.ReportAllocs()
	version := 1
	for b.Loop() {
		version++
		p := make(version*7919%100_000, version)
		c.Observe(p)
		if len(c.Snapshot().PodsOn(p.Spec.NodeName)) != 20 {
			b.Fatal("a pod is not on its node")
		}
	}
}
