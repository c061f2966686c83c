package problem

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/binpack"
)

// A hostPort is a port of its node that a pod takes.
type hostPort struct {
	protocol corev1.Protocol
	port     int32
	ip       string
}

// anyIP is the address of a host port that names none. It stands for all addresses of
// IPv4 and IPv6 alike; of others each is only itself, as kube-scheduler has it.
const anyIP = "0.0.0.0"

// hostPorts lists the ports that a pod takes from its node, each once and in order.
func hostPorts(spec *corev1.PodSpec) []hostPort {
	var ports []hostPort
	take := func(c *corev1.Container) {
		for _, p := range c.Ports {
			if p.HostPort > 0 {
				ports = append(ports, hostPort{cmp.Or(p.Protocol, corev1.ProtocolTCP), p.HostPort, cmp.Or(p.HostIP, anyIP)})
			}
		}
	}
	for i := range spec.InitContainers {
		if c := &spec.InitContainers[i]; c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			take(c)
		}
	}
	for i := range spec.Containers {
		take(&spec.Containers[i])
	}
	if len(ports) > 1 {
		slices.SortFunc(ports, hostPort.compare)
		ports = slices.Compact(ports)
	}
	return ports
}

func (p hostPort) compare(q hostPort) int {
	return cmp.Or(cmp.Compare(p.protocol, q.protocol), cmp.Compare(p.port, q.port), cmp.Compare(p.ip, q.ip))
}

// String says the port, with its address if it has one of its own: "TCP 80 of 10.0.0.1".
func (p hostPort) String() string {
	if p.ip == anyIP {
		return fmt.Sprintf("%s %d", p.protocol, p.port)
	}
	return fmt.Sprintf("%s %d of %s", p.protocol, p.port, p.ip)
}

// clash returns a port of some that others take as well, if there is one.
func clash(some, others []hostPort) (hostPort, bool) {
	for _, p := range some {
		for _, q := range others {
			if p.protocol == q.protocol && p.port == q.port && (p.ip == q.ip || p.ip == anyIP || q.ip == anyIP) {
				return p, true
			}
		}
	}
	return hostPort{}, false
}

// ports keeps pods apart that take the same port, and all of them from nodes where it is
// taken.
func (b *builder) ports() {
	takers := map[hostPort]*binpack.Set{}
	var all []hostPort
	for i, g := range b.groups {
		for _, p := range g.ports {
			if takers[p] == nil {
				takers[p] = &binpack.Set{}
				all = append(all, p)
			}
			takers[p].Add(i)
		}
	}
	if len(all) == 0 {
		return
	}
	slices.SortFunc(all, hostPort.compare)
	for _, p := range all {
		// Whoever takes it on all addresses is in the way of each.
		x := binpack.Exclusion{ID: "host port " + p.String(), Key: binpack.Hostname, A: *takers[p], B: *takers[p]}
		if everywhere := takers[hostPort{p.protocol, p.port, anyIP}]; everywhere != nil && p.ip != anyIP {
			x.A = binpack.SetOf(slices.Concat(slices.Collect(x.A.All), slices.Collect(everywhere.All))...)
		}
		b.p.Exclusions = append(b.p.Exclusions, x)
	}
	b.keepOffTaken()
}

// keepOffTaken keeps groups off nodes of which pods have taken their ports.
func (b *builder) keepOffTaken() {
	taken := make([][]hostPort, len(b.t.Bins))
	for i := range b.t.Bins {
		for _, p := range b.t.Bins[i].pods {
			taken[i] = append(taken[i], hostPorts(&p.Spec)...)
		}
	}
	for i, g := range b.groups {
		if len(g.ports) == 0 {
			continue
		}
		b.p.Groups[i].Nodes = without(b.p.Groups[i].Nodes, func(n int) bool {
			_, ok := clash(g.ports, taken[n])
			return ok
		})
	}
}
