package ec2sim

import (
	"cmp"
	"fmt"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// Options say what Start simulates. The zero value is useful: a cluster named
// "test" in us-west-2, whose instances run but have no Kubernetes to join.
type Options struct {
	// Region that the server is in; us-west-2 when empty. EC2 requests that are
	// signed for another one are refused.
	Region string
	// Cluster that instances may join.
	Cluster Cluster
	// Kube is where nodes join. Client takes its place in tests that have a
	// clientset already. With neither, instances run and no node comes.
	Kube   *rest.Config
	Client kubernetes.Interface
	// World is what the account holds; NewWorld(Region, Cluster) when nil.
	World *World
	// Types that are sold; EmbeddedTypes(Region) when nil.
	Types []InstanceType
	// Price is the price of an hour of an offering, in millionths of a dollar,
	// and false where the offering is not sold. EmbeddedPrices(Region) when nil.
	Price func(cloudprovider.Offering) (int64, bool)
	// Delays of the instances' lives; RealisticDelays() when nil. &Delays{} is all
	// at once.
	Delays *Delays
	// StartupTaints are removed from nodes, by key, so long after the node was
	// first seen Ready, as the DaemonSets that set such taints would.
	StartupTaints map[string]time.Duration
	// Queue is the name of the SQS queue that gets interruption events; none
	// when empty.
	Queue string
	// Account number; 123456789012 when empty.
	Account string
	// Seed of all chance.
	Seed uint64
	// Logf receives one line for each life step and each refused request; nil
	// for silence.
	Logf func(format string, args ...any)
}

// A Cluster is what user data must match for an instance to join.
type Cluster struct {
	// Name; "test" when empty.
	Name string
	// Endpoint of the API server, as nodes are to call it.
	Endpoint string
	// CA is the PEM certificate of the API server's authority.
	CA []byte
	// Version of Kubernetes, "1.36" when empty.
	Version string
	// ServiceCIDR; 10.96.0.0/16 when empty.
	ServiceCIDR string
}

// Delays say how long the steps of an instance's life take. Each is stretched or
// shrunk by up to Jitter (0.2 is ±20 %), by the seed.
type Delays struct {
	Pending  time.Duration // launched → running
	Boot     time.Duration // running → the Node object exists, NotReady
	CloudIn  time.Duration // Node exists → the cloud controller has labelled it
	Ready    time.Duration // labelled → Ready
	Warning  time.Duration // spot interruption warning → shutting-down
	Shutdown time.Duration // shutting-down → terminated
	NodeLost time.Duration // shutting-down → the Node is NotReady
	// NodeDelete is the time from terminated until the cloud node lifecycle
	// controller deletes the Node; negative: it never does.
	NodeDelete time.Duration
	// Forget is the time that a terminated instance stays visible; with 0 it is
	// gone from Describe calls as soon as it is terminated.
	Forget time.Duration
	Jitter float64
}

// RealisticDelays are those of EC2 and AL2023, shortened about four times: a
// person will wait for them, and an order that matters still shows.
func RealisticDelays() *Delays {
	return &Delays{
		Pending:    1 * time.Second,
		Boot:       4 * time.Second,
		CloudIn:    500 * time.Millisecond,
		Ready:      2 * time.Second,
		Warning:    30 * time.Second,
		Shutdown:   3 * time.Second,
		NodeLost:   1 * time.Second,
		NodeDelete: 2 * time.Second,
		Forget:     15 * time.Minute,
		Jitter:     0.2,
	}
}

// resolve fills in what was left out, and refuses what cannot be.
func (o Options) resolve() (Options, error) {
	o.Region = cmp.Or(o.Region, "us-west-2")
	o.Account = cmp.Or(o.Account, "123456789012")
	o.Cluster.Name = cmp.Or(o.Cluster.Name, "test")
	o.Cluster.Version = cmp.Or(o.Cluster.Version, "1.36")
	o.Cluster.ServiceCIDR = cmp.Or(o.Cluster.ServiceCIDR, "10.96.0.0/16")
	if o.Types == nil {
		o.Types = EmbeddedTypes(o.Region)
	}
	if o.Price == nil {
		price, err := EmbeddedPrices(o.Region)
		if err != nil {
			return o, err
		}
		o.Price = price
	}
	if o.Delays == nil {
		o.Delays = RealisticDelays()
	}
	if o.World == nil {
		o.World = NewWorld(o.Region, o.Cluster)
	}
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	if o.Kube != nil && o.Client != nil {
		return o, fmt.Errorf("resolving options: both Kube and Client are set")
	}
	if o.Kube != nil {
		config := rest.CopyConfig(o.Kube)
		config.QPS, config.Burst = 1000, 2000 // a fleet of nodes speaks through one client
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return o, fmt.Errorf("building the nodes' client: %w", err)
		}
		o.Client = client
	}
	return o, nil
}
