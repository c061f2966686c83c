package scale_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/sim"
)

// BenchmarkMemory is what a large cluster holds: the objects themselves, as a watch delivers them
// and as they are kept, and what the state has beside them once everything has been asked of a
// snapshot. A node is counted with its NodeClaim.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		for _, kind := range []struct {
			name    string
			n       int
			objects func(i int) []client.Object
		}{
			{"node", large.nodes, nodeObjects},
			{"pod", large.nodes * large.podsEach, podObjects},
		} {
			empty := held()
			var objects []client.Object
			for i := range kind.n {
				objects = append(objects, kind.objects(i)...)
			}
			whole := held()
			for _, o := range objects {
				_, _ = state.Slim(o) // it returns no error
			}
			raw := held()
			cluster := state.New()
			for _, o := range objects {
				cluster.Observe(o)
			}
			s := cluster.Snapshot()
			if got := len(s.Pods.All()) + len(s.Nodes.All()) + len(s.NodeClaims.All()); got != len(objects) {
				b.Fatalf("the snapshot has %d objects of %d", got, len(objects))
			}
			all := held()
			runtime.KeepAlive(objects)
			runtime.KeepAlive(cluster)
			b.ReportMetric(float64(whole-empty)/float64(kind.n), "delivered-B/"+kind.name)
			b.ReportMetric(float64(raw-empty)/float64(kind.n), "object-B/"+kind.name)
			b.ReportMetric(float64(all-raw)/float64(kind.n), "state-B/"+kind.name)
		}
	}
	b.ReportMetric(0, "ns/op") // it is not about time
}

// held is how many bytes of the heap are in use.
func held() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// nodeObjects are a NodeClaim and its Node, each with memory of its own.
func nodeObjects(i int) []client.Object {
	pool := sim.NodePool(fmt.Sprintf("pool-%d", i%pools))
	c := claim(pool, fmt.Sprintf("%s-old-%05d", pool.Name, i), offering(i))
	c.Status.ProviderID = fmt.Sprintf("aws:///%s/i-%017x", offering(i).Zone, i)
	n := node(c, offering(i))
	identify(c, "claim", i)
	identify(n, "node", i)
	decoded := &v1.NodeClaim{}
	data, err := json.Marshal(c)
	if err == nil {
		err = json.Unmarshal(data, decoded)
	}
	if err != nil { // API types always encode
		panic(err)
	}
	return []client.Object{decoded, decode(n, &corev1.Node{})}
}

// podObjects are a pod that runs, with memory of its own.
func podObjects(i int) []client.Object {
	p := pod(fmt.Sprintf("web-%02d-5d9c7b6f4-%06d", i%owners, i), ownedBy("ReplicaSet", fmt.Sprintf("web-%02d", i%owners)), "450m")
	bind(p, nodeName(fmt.Sprintf("pool-%d-old-%05d", i%pools, i/large.podsEach)), sim.Start.Add(-time.Hour))
	run(p, sim.Start.Add(-time.Hour))
	identify(p, "pod", i)
	return []client.Object{decode(p, &corev1.Pod{})}
}

func identify(o client.Object, kind string, i int) {
	o.SetUID(types.UID(fmt.Sprintf("%8s-0000-4000-8000-%012d", kind, i)))
	o.SetResourceVersion(fmt.Sprint(i + 1))
}

// decode returns an object as a client reads it from protobuf: no string is shared with another.
func decode[T interface {
	client.Object
	Marshal() ([]byte, error)
	Unmarshal([]byte) error
}](o, into T) T {
	data, err := o.Marshal()
	if err == nil {
		err = into.Unmarshal(data)
	}
	if err != nil { // API types always encode
		panic(err)
	}
	return into
}
