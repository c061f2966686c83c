package corpus

import (
	"math/rand/v2"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// menu draws what people write by hand: CPU in round numbers, memory in a round
// ratio to it.
func menu(r *rand.Rand) (cpuMilli, memory int64) {
	cpuMilli = pick[int64](r, 50, 100, 100, 200, 250, 250, 500, 500, 1000, 1000, 2000, 4000)
	return cpuMilli, cpuMilli * pick[int64](r, 512, 1024, 2048, 2048, 4096, 4096, 8192) / 1000 * mib
}

// Menus are n pods of Deployments whose requests come from a menu: some 40
// shapes.
func Menus(n int) []*corev1.Pod {
	r := random("menus")
	return deployments(n, "menu", func(int) deployment {
		d := deployment{replicas: replicas(r)}
		d.cpuMilli, d.memory = menu(r)
		return d
	})
}

// odd draws requests as a vertical autoscaler writes them: what was seen in use.
func odd(r *rand.Rand) (cpuMilli, memory int64) {
	cpuMilli, memory = menu(r)
	return cpuMilli * (600 + r.Int64N(800)) / 1000, memory / mib * (600 + r.Int64N(800)) / 1000 * mib
}

// OddRequests are n pods of Deployments each of which has a request of its own.
func OddRequests(n int) []*corev1.Pod {
	r := random("odd requests")
	return deployments(n, "odd", func(int) deployment {
		d := deployment{replicas: replicas(r)}
		d.cpuMilli, d.memory = odd(r)
		return d
	})
}

// AllDifferent are n pods each of which has a request of its own.
func AllDifferent(n int) []*corev1.Pod {
	r := random("all different")
	return deployments(n, "own", func(int) deployment {
		d := deployment{replicas: 1}
		d.cpuMilli, d.memory = odd(r)
		return d
	})
}

// LargePods are n pods of databases, caches and training jobs without GPUs: one to
// some four fit on a node.
func LargePods(n int) []*corev1.Pod {
	r := random("large pods")
	return deployments(n, "large", func(int) deployment {
		d := deployment{replicas: replicas(r)}
		if r.IntN(10) < 7 {
			d.cpuMilli, d.memory = pick[int64](r, 16, 24, 32, 48)*1000, pick[int64](r, 64, 100, 160, 200)*1024*mib
		} else {
			d.cpuMilli, d.memory = pick[int64](r, 4, 8, 12)*1000, pick[int64](r, 16, 32, 64, 90)*1024*mib
		}
		return d
	})
}

// GPUs are n pods of which one in four asks for GPUs, most for one.
func GPUs(n int) []*corev1.Pod {
	r := random("gpus")
	return deployments(n, "gpu", func(int) deployment {
		d := deployment{replicas: replicas(r)}
		d.cpuMilli, d.memory = menu(r)
		if r.IntN(4) == 0 {
			d.gpus = pick[int64](r, 1, 1, 1, 1, 1, 1, 1, 2, 4, 8)
			d.cpuMilli, d.memory = 4000*d.gpus, pick[int64](r, 8, 12, 16, 20)*1024*d.gpus*mib
		}
		return d
	})
}

// MixedConstraints are n pods with requests from a menu, of which every second
// Deployment minds where its pods go.
func MixedConstraints(n int) []*corev1.Pod {
	r := random("mixed constraints")
	return deployments(n, "mixed", func(i int) deployment {
		d := deployment{replicas: replicas(r), shape: constraint(i)}
		d.cpuMilli, d.memory = menu(r)
		return d
	})
}

// constraint returns what the i-th Deployment minds; nil means nothing.
func constraint(i int) func(*corev1.Pod) {
	selects := func(key, value string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{key: value} }
	}
	switch i % 20 {
	case 1, 6, 11:
		return func(p *corev1.Pod) { spread(p, corev1.LabelTopologyZone, 1, p.Labels) }
	case 3:
		return separate
	case 5:
		return func(p *corev1.Pod) { spread(p, corev1.LabelHostname, 2, p.Labels) }
	case 8:
		return func(p *corev1.Pod) { together(p, corev1.LabelTopologyZone) }
	case 9:
		return selects(v1.LabelCapacityType, cloudprovider.OnDemand)
	case 13:
		return selects(corev1.LabelTopologyZone, "us-east-1b")
	case 15:
		return selects(corev1.LabelArchStable, "arm64")
	case 17, 19:
		return selects(corev1.LabelArchStable, "amd64")
	}
	return nil
}
