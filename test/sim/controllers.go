package sim

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stowage-sh/stowage/cloudprovider"
	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/provisioner/batch"
	"github.com/stowage-sh/stowage/provisioner/disrupt"
	"github.com/stowage-sh/stowage/provisioner/drift"
	"github.com/stowage-sh/stowage/provisioner/headroom"
	"github.com/stowage-sh/stowage/provisioner/interrupt"
	"github.com/stowage-sh/stowage/provisioner/lifecycle"
	"github.com/stowage-sh/stowage/provisioner/metrics"
	"github.com/stowage-sh/stowage/provisioner/nodeoverlay"
	"github.com/stowage-sh/stowage/provisioner/nodepool"
	"github.com/stowage-sh/stowage/provisioner/provision"
	"github.com/stowage-sh/stowage/provisioner/repair"
	"github.com/stowage-sh/stowage/provisioner/static"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/provisioner/v1beta1"
)

// Controllers are the product's own, with their default settings; a test may
// change them until the world runs.
type Controllers struct {
	Provision *provision.Controller
	Lifecycle *lifecycle.Controller
	Collector *lifecycle.Collector
	NodePool  *nodepool.Controller
	Static    *static.Controller
	Repair    *repair.Controller
	Disrupt   *disrupt.Controller
	Drift     *drift.Controller
	Interrupt *interrupt.Controller
	// Availability knows which offerings ran out.
	Availability *cloudprovider.Availability
	// Registry holds the metrics of all of them.
	Registry *prometheus.Registry
}

// AddControllers adds the product's controllers to a process, as the command
// wires them, but that they do one thing at a time and name NodeClaims by number.
func (p *Process) AddControllers() *Controllers {
	c := &Controllers{Availability: &cloudprovider.Availability{}, Registry: prometheus.NewRegistry()}
	prices := p.world.Cloud.Prices()
	claims, err1 := lifecycle.NewMetrics(c.Registry)
	moves, err2 := disrupt.NewMetrics(c.Registry)
	bought, err3 := provision.NewMetrics(c.Registry)
	kept, err4 := static.NewMetrics(c.Registry)
	mended, err5 := repair.NewMetrics(c.Registry)
	heard, err6 := interrupt.NewMetrics(c.Registry)
	for _, err := range []error{err1, err2, err3, err4, err5, err6, p.show(c.Registry, prices)} {
		if err != nil {
			p.world.Fail(err)
		}
	}
	bought.Witness = p.observer
	c.Provision = &provision.Controller{
		Cluster: p.Cluster, Write: p.Write, Cloud: p.world.Cloud, Events: p.Events,
		Availability: c.Availability, Prices: prices, Metrics: bought,
		NewName: p.world.newClaimName,
		Window:  batch.Window{Idle: time.Second, Max: 10 * time.Second},
	}
	roster := &lifecycle.Roster{Cloud: p.world.Cloud}
	c.Lifecycle = &lifecycle.Controller{
		Cluster: p.Cluster, Write: p.Write, Cloud: p.world.Cloud, Instances: roster, Events: p.Events,
		Availability: c.Availability, Prices: prices, Metrics: claims,
		BeforeOpen: c.Provision.Nominate, Hold: c.Provision.Hold,
	}
	c.Collector = &lifecycle.Collector{
		Cluster: p.Cluster, Write: p.Write, Cloud: p.world.Cloud, Instances: roster, Metrics: claims,
	}
	c.NodePool = &nodepool.Controller{Cluster: p.Cluster, Write: p.Write}
	c.Disrupt = &disrupt.Controller{Cluster: p.Cluster, Write: p.Write, Events: p.Events, Metrics: moves, Foresee: c.Provision.Foresee, Mover: c.Provision}
	c.Static = &static.Controller{Cluster: p.Cluster, Write: p.Write, Events: p.Events, Metrics: kept, NewName: p.world.newClaimName}
	c.Repair = &repair.Controller{Cluster: p.Cluster, Write: p.Write, Policies: p.world.Cloud.RepairPolicies, Events: p.Events, Metrics: mended}
	p.addProvision(c.Provision)
	p.AddMapped("NodeClaim", lifecycle.Concerned, c.Lifecycle.Reconcile)
	p.AddGathered("NodePool", p.gatherPools, nodepool.Concerned, c.NodePool.Reconcile)
	p.AddMapped("static", nodepool.Concerned, c.Static.Reconcile)
	p.AddStepper("collect", c.Collector.Step)
	c.Interrupt = &interrupt.Controller{
		Cluster: p.Cluster, Write: p.Write, Notifier: p.world.Cloud.Mail, Availability: c.Availability, Events: p.Events, Metrics: heard,
	}
	p.AddStepper("interrupt", c.Interrupt.Step)
	p.addDisrupt(c.Disrupt)
	p.addHeadroom(&headroom.Controller{Cluster: p.Cluster, Write: p.Write, Read: p.Read, Missing: c.Provision.Missing})
	c.Drift = &drift.Controller{Cluster: p.Cluster, Write: p.Write, Cloud: p.world.Cloud, Instances: roster}
	p.addWoken("drift", c.Drift.Step, drift.Concerns, 5*time.Second)
	overlays := &nodeoverlay.Controller{Cluster: p.Cluster, Write: p.Write, Cloud: p.world.Cloud}
	p.addWoken("nodeoverlay", overlays.Step, nodeoverlay.Concerns, 100*time.Millisecond)
	p.addRepair(c.Repair)
	return c
}

// show registers what shows the process's view of the cluster.
func (p *Process) show(r *prometheus.Registry, prices *pricing.Book) (err error) {
	now, leading := p.now, func() bool { return true }
	words := metrics.Vocabulary{ClassKind: awsv1.Kind, ClassLabel: awsv1.LabelNodeClass, NodeLabels: awsv1.WellKnownLabels}
	if p.observer, err = metrics.NewObserver(r, now, leading, words); err != nil {
		return err
	}
	return r.Register(metrics.NewCluster(metrics.Sources{
		State: p.Cluster, Observer: p.observer, Prices: prices, Now: now, Leading: leading, Vocabulary: words,
	}))
}

// addProvision adds the provision controller: it looks at once when a node
// changes, and a moment after anything else did.
func (p *Process) addProvision(c *provision.Controller) {
	wake := p.AddStepper("provision", c.Step)
	p.notices = append(p.notices, func(obj client.Object) {
		after := 50 * time.Millisecond
		if _, ok := obj.(*corev1.Node); ok {
			after = 0
		}
		wake(after)
	})
}

// gatherPools is for how long changes are gathered that concern NodePools.
func (p *Process) gatherPools(obj client.Object) time.Duration {
	switch {
	case !p.Gathers:
		return 0
	case nodepool.Counted(obj):
		return time.Second
	}
	return 100 * time.Millisecond
}

// addDisrupt adds the controller of disruption.
func (p *Process) addDisrupt(c *disrupt.Controller) {
	wake := p.AddStepper("disrupt", c.Step)
	p.notices = append(p.notices, func(obj client.Object) {
		if disrupt.Urgent(obj) {
			wake(0)
		}
	})
	if !p.Gathers {
		return
	}
	p.notices = append(p.notices, func(obj client.Object) {
		switch obj.(type) {
		case *v1.NodePool:
			wake(time.Second)
		case *v1.NodeClaim, *corev1.Pod:
			wake(5 * time.Second)
		}
	})
}

// addWoken adds a controller that looks at everything, and again soon after a change
// of what concerns it.
func (p *Process) addWoken(name string, step func(context.Context, time.Time) (time.Duration, error), concerns func(client.Object) bool, delay time.Duration) {
	wake := p.AddStepper(name, step)
	p.notices = append(p.notices, func(obj client.Object) {
		if concerns(obj) {
			wake(delay)
		}
	})
}

// addRepair adds the controller that repairs nodes.
func (p *Process) addRepair(c *repair.Controller) {
	wake := p.AddStepper("repair", c.Step)
	p.notices = append(p.notices, func(obj client.Object) {
		if c.Concerns(obj) {
			wake(time.Second)
		}
	})
}

// addHeadroom adds the controller of CapacityBuffers.
func (p *Process) addHeadroom(c *headroom.Controller) {
	wake := p.AddStepper("capacitybuffer", c.Step)
	p.notices = append(p.notices, func(obj client.Object) {
		switch obj.(type) {
		case *v1beta1.CapacityBuffer, *v1.NodeClaim:
			wake(100 * time.Millisecond)
		}
	})
}

// newClaimName counts NodeClaims across all processes.
func (w *World) newClaimName(pool string) string {
	name := fmt.Sprintf("%s-%05d", pool, len(w.named)+1)
	w.named[name] = true
	return name
}
