package sim_test

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/sim"
)

// The day's market: machines of 2, 4 and 8 cpus with 2, 4 or 8 GiB each, of two generations, on
// demand and as spot.

// families are kinds of machines: GiB and millionths of a dollar per cpu.
var families = []struct {
	name       string
	gib, price int64
}{{"c5", 2, 42_500}, {"c6", 2, 41_000}, {"m5", 4, 48_000}, {"m6", 4, 46_500}, {"r5", 8, 63_000}, {"r6", 8, 61_000}}

func dayCatalogue() cloudprovider.Catalog {
	like := sim.Catalogue()
	c := cloudprovider.Catalog{Region: like.Region, ZoneLabels: like.ZoneLabels}
	for _, f := range families {
		for cpus := int64(2); cpus <= 8; cpus *= 2 {
			memory := cpus * f.gib << 30
			t := cloudprovider.InstanceType{Name: fmt.Sprintf("%s.%d", f.name, cpus)}
			t.Labels = map[string]string{corev1.LabelArchStable: "amd64", corev1.LabelOSStable: "linux", corev1.LabelInstanceTypeStable: t.Name}
			t.Capacity = cloudprovider.Resources{cloudprovider.CPU: cpus * 1000, cloudprovider.Memory: memory, cloudprovider.Pods: 58, cloudprovider.EphemeralStorage: 20 << 30}
			t.Allocatable = cloudprovider.Resources{cloudprovider.CPU: cpus*1000 - 80, cloudprovider.Memory: memory - memory/20 - 300<<20, cloudprovider.Pods: 58, cloudprovider.EphemeralStorage: 18 << 30}
			for _, zone := range sim.Zones {
				for _, capacityType := range []string{cloudprovider.OnDemand, cloudprovider.Spot} {
					t.Offerings = append(t.Offerings, cloudprovider.Offering{InstanceType: t.Name, Zone: zone, CapacityType: capacityType})
				}
			}
			c.InstanceTypes = append(c.InstanceTypes, t)
		}
	}
	return c
}

// dayRate is what the machines cost: spot a third to a half of on demand, by type and zone.
func dayRate(t cloudprovider.InstanceType, o cloudprovider.Offering) int64 {
	price := int64(0)
	for _, f := range families {
		if t.Name[:2] == f.name {
			price = f.price * t.Capacity[cloudprovider.CPU] / 1000
		}
	}
	if o.CapacityType == cloudprovider.Spot {
		h := fnv.New32a()
		_, _ = h.Write([]byte(t.Name + o.Zone)) // never fails
		price = price * int64(33+h.Sum32()%17) / 100
	}
	return price
}

// An app is a workload of a day.
type app struct {
	pod      *corev1.Pod
	most     int     // replicas at noon
	least    float64 // at night, as a part of that
	sets     [2]*sim.ReplicaSet
	current  int // of sets
	want     int
	replaced float64 // the part of it that sets[current] has, in a rollout
}

// shapes are the requests of the apps' pods, and how many of them there are at noon.
var shapes = []struct {
	cpu, memory string
	most        int
}{
	{"100m", "256Mi", 40}, {"250m", "512Mi", 40}, {"250m", "2Gi", 30}, {"500m", "1Gi", 40}, {"500m", "2Gi", 30},
	{"500m", "4Gi", 16}, {"750m", "1500Mi", 24}, {"1", "2Gi", 30}, {"1", "4Gi", 24}, {"1", "8Gi", 10},
	{"1500m", "3Gi", 14}, {"1500m", "8Gi", 8}, {"2", "4Gi", 12}, {"2", "10Gi", 6}, {"3", "8Gi", 6},
}

// A trace is what the workloads of a day do, and when the cloud takes machines. It is drawn before the day
// begins, and is the same whatever the policy.
type trace struct {
	apps []*app
	jobs []*sim.ReplicaSet
	acts []act
}

type act struct {
	at time.Duration
	do func(*day)
}

// drawTrace draws a day. Size says how many pods there are, 1 for some 330 at noon.
func drawTrace(seed uint64, long time.Duration, size float64) *trace {
	r := rand.New(rand.NewPCG(seed, 24))
	t := &trace{}
	for i, s := range shapes {
		pod := sim.Pod(fmt.Sprintf("app-%02d", i), s.cpu, s.memory)
		if i%4 == 3 {
			pod.Spec.NodeSelector = map[string]string{v1.LabelCapacityType: cloudprovider.OnDemand}
		}
		t.apps = append(t.apps, &app{pod: pod, most: max(2, int(float64(s.most)*size)), least: 0.3 + 0.5*r.Float64(), replaced: 1})
	}
	every := func(mean time.Duration, draw func(at time.Duration)) {
		for at := time.Duration(0); ; {
			if at += time.Duration(r.ExpFloat64() * float64(mean)); at >= long {
				return
			}
			draw(at)
		}
	}
	every(2*time.Minute, func(at time.Duration) {
		a, factor := t.apps[r.IntN(len(t.apps))], 0.85+0.3*r.Float64()
		n := a.at(float64(at)/float64(long), factor)
		t.add(at, func(d *day) { a.want = n; d.scale(a) })
	})
	every(4*time.Hour, func(at time.Duration) {
		a := t.apps[r.IntN(len(t.apps))]
		t.add(at, func(d *day) { d.rollOut(a) })
	})
	busy := make([]time.Duration, 6)
	every(20*time.Minute, func(at time.Duration) {
		i, n, until := r.IntN(len(busy)), 2+r.IntN(max(1, int(8*size))), at+10*time.Minute+time.Duration(r.Int64N(int64(30*time.Minute)))
		if at < busy[i] || until > long {
			return
		}
		busy[i] = until + time.Minute
		t.add(at, func(d *day) { d.Scale(t.jobs[i], n) })
		t.add(until, func(d *day) { d.Scale(t.jobs[i], 0) })
	})
	every(15*time.Minute, func(at time.Duration) {
		which := r.IntN(100)
		t.add(at, func(d *day) { d.interrupt(which) })
	})
	slices.SortStableFunc(t.acts, func(a, b act) int { return int(a.at - b.at) })
	return t
}

func (t *trace) add(at time.Duration, do func(*day)) { t.acts = append(t.acts, act{at, do}) }

// at is how many replicas an app has at a part of the day, which begins at night.
func (a *app) at(part, factor float64) int {
	wave := (1 - math.Cos(2*math.Pi*part)) / 2
	return max(1, int(math.Round(float64(a.most)*(a.least+(1-a.least)*wave)*factor)))
}

// settle makes the workloads of the night.
func (t *trace) settle(d *day) error {
	for _, a := range t.apps {
		a.want = a.at(0, 1)
		for i := range a.sets {
			pod := a.pod.DeepCopy()
			pod.Name += []string{"-blue", "-green"}[i]
			pod.Labels["version"] = pod.Name
			a.sets[i] = d.AddReplicaSet(0, pod)
		}
		d.scale(a)
		quarter := intstr.FromString("25%")
		budget := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: a.pod.Name}}
		budget.Spec = policyv1.PodDisruptionBudgetSpec{MaxUnavailable: &quarter, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": a.pod.Name}}}
		if err := d.API.Create(budget); err != nil {
			return err
		}
	}
	for i := range 6 {
		pod := sim.Pod(fmt.Sprintf("job-%d", i), []string{"1", "2", "1500m"}[i%3], "2Gi")
		if i%2 == 0 {
			pod.Annotations = map[string]string{v1.AnnotationDoNotDisrupt: "true"}
		}
		t.jobs = append(t.jobs, d.AddReplicaSet(0, pod))
	}
	return nil
}

// fluid is what an hour of the workloads would cost if pods could be poured into machines of any size, in
// millionths of a dollar: those that insist on machines on demand, and the others on the cheapest.
func (t *trace) fluid(rates map[string][]rate) float64 {
	need := map[string]rate{}
	for _, a := range t.apps {
		add(need, a.pod, a.want)
	}
	for _, rs := range t.jobs {
		add(need, rs.Template, rs.Replicas)
	}
	return pour(rates[cloudprovider.OnDemand], need[cloudprovider.OnDemand]) + pour(rates[cloudprovider.Spot], need[cloudprovider.Spot])
}

// A rate is what so much costs.
type rate struct{ cpu, memory, price float64 }

func add(need map[string]rate, pod *corev1.Pod, n int) {
	kind := cloudprovider.Spot
	if pod.Spec.NodeSelector[v1.LabelCapacityType] == cloudprovider.OnDemand {
		kind = cloudprovider.OnDemand
	}
	requests := pod.Spec.Containers[0].Resources.Requests
	sum := need[kind]
	sum.cpu += float64(n) * float64(requests.Cpu().MilliValue())
	sum.memory += float64(n) * float64(requests.Memory().Value())
	need[kind] = sum
}

// pour is the least that parts of machines cost which hold what is needed: those of one kind, or of two.
func pour(rates []rate, need rate) float64 {
	if need.cpu == 0 && need.memory == 0 {
		return 0
	}
	best := math.Inf(1)
	for i, a := range rates {
		best = min(best, a.price*max(need.cpu/a.cpu, need.memory/a.memory))
		for _, b := range rates[:i] {
			det := a.cpu*b.memory - b.cpu*a.memory
			x, y := (need.cpu*b.memory-b.cpu*need.memory)/det, (a.cpu*need.memory-need.cpu*a.memory)/det
			if det != 0 && x >= 0 && y >= 0 {
				best = min(best, x*a.price+y*b.price)
			}
		}
	}
	return best
}

// ratesOf are those of the day's market by capacity type.
func ratesOf(c *sim.Cloud) map[string][]rate {
	rates := map[string][]rate{}
	for _, t := range c.Catalogue.InstanceTypes {
		for _, o := range t.Offerings {
			price, _ := c.Price(o)
			rates[o.CapacityType] = append(rates[o.CapacityType], rate{float64(t.Allocatable[cloudprovider.CPU]), float64(t.Allocatable[cloudprovider.Memory]), float64(price)})
		}
	}
	return rates
}
