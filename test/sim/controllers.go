package sim

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/disrupt"
	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	"github.com/stowage-sh/stowage/provisioner/nodepool"
)

// Controllers are the product's own, with their default settings; a test may
// change them until the world runs.
type Controllers struct {
	Lifecycle *lifecycle.Controller
	Collector *lifecycle.Collector
	NodePool  *nodepool.Controller
	Disrupt   *disrupt.Controller
	// Availability knows which offerings ran out.
	Availability *cloudprovider.Availability
	// Registry holds the metrics of all of them.
	Registry *prometheus.Registry
}

// AddControllers adds the controllers of NodeClaims and NodePools, disruption and
// collection to a process, as the command wires them.
func (p *Process) AddControllers() *Controllers {
	c := &Controllers{Availability: &cloudprovider.Availability{}, Registry: prometheus.NewRegistry()}
	claims, err1 := lifecycle.NewMetrics(c.Registry)
	pools, err2 := nodepool.NewMetrics(c.Registry)
	moves, err3 := disrupt.NewMetrics(c.Registry)
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			p.world.Fail(err)
		}
	}
	roster := &lifecycle.Roster{Cloud: p.world.Cloud}
	c.Lifecycle = &lifecycle.Controller{
		Cluster: p.Cluster, Write: p.Write, Cloud: p.world.Cloud, Instances: roster, Events: p.Events,
		Availability: c.Availability, Prices: p.world.Cloud.Price, Metrics: claims,
	}
	c.Collector = &lifecycle.Collector{
		Cluster: p.Cluster, Write: p.Write, Cloud: p.world.Cloud, Instances: roster, Metrics: claims,
	}
	c.NodePool = &nodepool.Controller{Cluster: p.Cluster, Write: p.Write, Metrics: pools}
	c.Disrupt = &disrupt.Controller{Cluster: p.Cluster, Write: p.Write, Events: p.Events, Metrics: moves}
	p.AddMapped("NodeClaim", lifecycle.Concerned, c.Lifecycle.Reconcile)
	p.AddMapped("NodePool", nodepool.Concerned, c.NodePool.Reconcile)
	p.AddStepper("collect", c.Collector.Step)
	p.AddStepper("disrupt", c.Disrupt.Step)
	return c
}
