// Package cluster puts together what the end-to-end tests and the demo run on: a
// real control plane, a simulated EC2 whose instances join it, the CRDs, and
// Stowage itself as a process of its own, with exactly the chart's role.
//
//	kube-apiserver … kwok ◀── ec2sim (nodes join) ◀── stowage controller (AWS_ENDPOINT_URL)
//
// It asserts nothing: that is for the tests. Everything is on loopback, and Stop
// leaves nothing behind.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/charts"
	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/controlplane"
	"github.com/stowage-sh/stowage/test/ec2sim"
)

// Name of the cluster, in tags and in user data; Namespace that Stowage runs in.
const (
	Name      = "stowage-test"
	Namespace = "stowage-system"
)

// Options of a cluster. The zero value is useful.
type Options struct {
	// EC2 says how the simulated cloud behaves. Kube and Cluster are filled in.
	EC2 ec2sim.Options
	// Progress gets a line for each thing that takes time; nil for none.
	Progress io.Writer
}

// A Cluster is one that runs, until Stop. Fields are read-only.
type Cluster struct {
	*controlplane.ControlPlane
	EC2 *ec2sim.Server
	// Client may do everything.
	Client client.WithWatch

	kubeconfig string // of Stowage's service account
}

// Start starts everything but Stowage. ctx bounds the start, not the life.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	plane, err := controlplane.Start(ctx, controlplane.Options{Progress: o.Progress})
	if err != nil {
		return nil, err
	}
	c := &Cluster{ControlPlane: plane}
	if err := c.furnish(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("setting up the cluster: %w", err), c.Stop())
	}
	return c, nil
}

// furnish adds the cloud, the CRDs, and the identity that Stowage runs under.
func (c *Cluster) furnish(ctx context.Context, o Options) error {
	admin := c.RESTConfig()
	admin.QPS = -1 // whoever looks on is not to wait for a limit meant for controllers
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1.AddToScheme(scheme), awsv1.AddToScheme(scheme)); err != nil {
		return err
	}
	var err error
	if c.Client, err = client.NewWithWatch(admin, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	o.EC2.Kube = admin
	o.EC2.Cluster = ec2sim.Cluster{Name: Name, Endpoint: admin.Host, CA: admin.CAData}
	if c.EC2, err = ec2sim.Start(o.EC2); err != nil {
		return err
	}
	if err := c.applyChart(ctx); err != nil {
		return err
	}
	account, err := c.ServiceAccountConfig(ctx, Namespace, charts.ServiceAccount)
	if err != nil {
		return err
	}
	c.kubeconfig, err = c.WriteKubeconfig("stowage", account)
	return err
}

// applyChart creates what the chart would, but for the Deployment.
func (c *Cluster) applyChart(ctx context.Context) error {
	objects := []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: charts.ServiceAccount}},
	}
	crds, err := charts.CRDs()
	if err != nil {
		return err
	}
	roles, err := charts.RBAC(Namespace)
	if err != nil {
		return err
	}
	for _, u := range append(crds, roles...) {
		objects = append(objects, u)
	}
	for _, object := range objects {
		if err := c.Client.Create(ctx, object); err != nil {
			return fmt.Errorf("creating %T %s: %w", object, object.GetName(), err)
		}
	}
	for _, crd := range crds {
		if _, err := c.Kubectl(ctx, "wait", "--for=condition=Established", "--timeout=30s", "crd/"+crd.GetName()); err != nil {
			return err
		}
	}
	return nil
}

// Stop ends the cloud and the control plane. Stowage must have ended before.
func (c *Cluster) Stop() error {
	if c.EC2 != nil {
		c.EC2.Close()
	}
	return c.ControlPlane.Stop()
}

// logFile opens a log beside those of the control plane.
func (c *Cluster) logFile(name string) (*os.File, error) {
	return os.OpenFile(filepath.Join(c.Dir(), name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}
