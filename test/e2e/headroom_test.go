package e2e

import (
	"errors"
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const bufferManifest = `
apiVersion: autoscaling.x-k8s.io/v1beta1
kind: CapacityBuffer
metadata: {name: spare, namespace: %s}
spec: {scalableRef: {kind: Deployment, name: web}, percentage: 50}
`

// headroom: room is kept for half as many pods as a Deployment has. One more pod runs on a node
// that was there before it, and the room is bought again; without the buffer, the nodes go.
func headroom(t *testing.T) {
	s := newScene(t, "headroom", class{})
	s.pool(pool{Types: "m5.large", After: "1s"})
	s.deploy(pods{Name: "web", Count: 4})
	s.running("web", 4)
	s.apply(fmt.Sprintf(bufferManifest, s.name))
	s.roomFor(2)
	before := s.nodes()
	if len(before) != 6 {
		t.Errorf("%d nodes for 4 pods and headroom for 2, of which each holds one", len(before))
	}
	s.deploy(pods{Name: "web", Count: 5})
	for _, node := range s.hosts(s.running("web", 5)) {
		if _, ok := before[node.Name]; !ok {
			t.Errorf("a pod is on node %s, which was not there when it came", node.Name)
		}
	}
	s.roomFor(3)
	if n := len(s.nodes()); n != 8 {
		t.Errorf("%d nodes for 5 pods and headroom for 3", n)
	}
	if n := len(s.pods("")); n != 5 {
		t.Errorf("%d pods are there, of 5", n)
	}
	s.must(s.delete(s.spare()))
	eventually(t, "the nodes without pods are gone", func() error {
		if n := len(s.nodes()); n != 5 {
			return fmt.Errorf("%d nodes are there", n)
		}
		return nil
	})
	s.running("web", 5)
}

// spare is the scene's CapacityBuffer.
func (s *scene) spare() *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("autoscaling.x-k8s.io/v1beta1")
	u.SetKind("CapacityBuffer")
	u.SetNamespace(s.name)
	u.SetName("spare")
	return u
}

// roomFor waits until the scene's CapacityBuffer says that there is room for so many pods.
func (s *scene) roomFor(pods int64) {
	s.Helper()
	eventually(s.T, fmt.Sprintf("there is room for %d pods", pods), func() error {
		b := s.spare()
		if err := here.Client.Get(s.ctx(), client.ObjectKeyFromObject(b), b); err != nil {
			return err
		}
		n, _, err := unstructured.NestedInt64(b.Object, "status", "replicas")
		conditions, _, err2 := unstructured.NestedSlice(b.Object, "status", "conditions")
		for _, c := range conditions {
			if c := c.(map[string]any); n == pods && c["type"] == "Provisioning" && c["status"] == "True" {
				return nil
			}
		}
		return errors.Join(err, err2, fmt.Errorf("the status is %v", b.Object["status"]))
	})
}
