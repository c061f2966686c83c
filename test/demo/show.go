package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/cluster"
)

// patience is how long each act may take before the demo gives up: many times
// what it takes on an idle machine.
const patience = 5 * time.Minute

// longWait is when whoever looks on wants to know what is being waited for.
const longWait = 10 * time.Second

// A show is one run of the demo.
type show struct {
	cluster *cluster.Cluster
	screen  screen
}

// play shows the acts in order.
func (s *show) play(ctx context.Context, keep bool) error {
	if err := s.apply(ctx, "nodes.yaml"); err != nil {
		return err
	}
	if err := s.until(ctx, "waiting for the NodePool to be ready", s.poolReady); err != nil {
		return err
	}
	if err := s.apply(ctx, "workload.yaml"); err != nil {
		return err
	}
	begin := time.Now()
	if err := s.until(ctx, "500 pods wait for nodes", func(_ context.Context, p picture) (bool, error) {
		return p.pods >= 500 && p.bound == p.pods, nil
	}); err != nil {
		return err
	}
	bound := time.Since(begin)
	peak, err := s.peak(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("\nAll %d pods are bound, %.1f s after they were created.\n\n", peak.pods, bound.Seconds())
	if keep {
		return s.linger(ctx, peak, bound)
	}
	if _, err := s.cluster.Kubectl(ctx, "scale", "deployment", "--all", "--replicas=0"); err != nil {
		return err
	}
	if err := s.until(ctx, "the workload is gone; empty nodes go", func(_ context.Context, p picture) (bool, error) {
		return p.nodes == 0 && p.instances == 0, nil
	}); err != nil {
		return err
	}
	fmt.Printf("\nEvery empty node is gone, and so is its instance.\n\n")
	fmt.Print(peak.table(bound))
	return nil
}

// linger leaves the cluster to whoever wants to look around.
func (s *show) linger(ctx context.Context, peak picture, bound time.Duration) error {
	fmt.Print(peak.table(bound))
	fmt.Printf("\nThe cluster keeps running. In another terminal:\n\n  export KUBECONFIG=%s\n  export PATH=%s:$PATH\n  kubectl get nodepools,nodeclaims,nodes\n\nStowage's log: %s\nCtrl-C ends everything.\n",
		s.cluster.Kubeconfig(), filepath.Join(s.cluster.Dir(), "bin"), filepath.Join(s.cluster.Dir(), "stowage.log"))
	<-ctx.Done()
	fmt.Println("\nstopping …")
	return nil
}

// apply applies one of the manifests.
func (s *show) apply(ctx context.Context, name string) error {
	data, err := manifests.ReadFile("manifests/" + name)
	if err != nil {
		return err
	}
	_, err = s.cluster.KubectlInput(ctx, bytes.NewReader(data), "apply", "--server-side", "-f", "-")
	return err
}

// until draws the cluster as it changes, until it is as wanted.
func (s *show) until(ctx context.Context, title string, done func(context.Context, picture) (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("%s: not done after %s", title, patience))
	defer cancel()
	s.screen.begin(title)
	for {
		p, err := s.look(ctx)
		if err != nil {
			return err
		}
		s.screen.draw(p)
		ok, err := done(ctx, p)
		if ok || err != nil {
			s.screen.end()
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// poolReady waits for the NodePools, and says what they wait for if it is long.
func (s *show) poolReady(ctx context.Context, _ picture) (bool, error) {
	var pools v1.NodePoolList
	var classes awsv1.EC2NodeClassList
	if err := first(s.cluster.Client.List(ctx, &pools), s.cluster.Client.List(ctx, &classes)); err != nil {
		return false, err
	}
	ready := len(pools.Items) > 0
	var reasons []string
	for i := range pools.Items {
		if reason := unready(pools.Items[i].Status.Conditions); reason != "" {
			ready, reasons = false, append(reasons, "NodePool "+pools.Items[i].Name+": "+reason)
		}
	}
	for i := range classes.Items {
		if reason := unready(classes.Items[i].Status.Conditions); reason != "" {
			reasons = append(reasons, "EC2NodeClass "+classes.Items[i].Name+": "+reason)
		}
	}
	if !ready && time.Since(s.screen.begun) > longWait {
		s.screen.note(strings.Join(reasons, "\n"))
	}
	return ready, nil
}

// unready says why an object is not Ready, or "" if it is: Ready's own message,
// and that of each condition that is False.
func unready(conditions []metav1.Condition) string {
	if v1.IsTrue(conditions, v1.ConditionReady) {
		return ""
	}
	ready := v1.GetCondition(conditions, v1.ConditionReady)
	if ready == nil {
		return "no controller has looked at it yet"
	}
	words := []string{ready.Message}
	for _, c := range conditions {
		if c.Type != v1.ConditionReady && c.Status == metav1.ConditionFalse && c.Message != "" {
			words = append(words, c.Type+": "+c.Message)
		}
	}
	return strings.Join(words, "; ")
}

// look takes a picture of the cluster.
func (s *show) look(ctx context.Context) (picture, error) {
	var pods corev1.PodList
	var nodes corev1.NodeList
	if err := first(s.cluster.Client.List(ctx, &pods), s.cluster.Client.List(ctx, &nodes)); err != nil {
		return picture{}, err
	}
	p := picture{pods: len(pods.Items), nodes: len(nodes.Items), hourly: s.cluster.EC2.Hourly(), instances: len(s.cluster.EC2.Alive())}
	for i := range pods.Items {
		if pods.Items[i].Spec.NodeName != "" {
			p.bound++
		}
	}
	for i := range nodes.Items {
		for _, c := range nodes.Items[i].Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
				p.ready++
			}
		}
	}
	return p, nil
}

// peak is a picture with what the closing table says: the machines by offering,
// and what Stowage's log says of its plans.
func (s *show) peak(ctx context.Context) (picture, error) {
	p, err := s.look(ctx)
	if err != nil {
		return p, err
	}
	for _, i := range s.cluster.EC2.Alive() {
		price, _ := s.cluster.EC2.Price(i.Offering)
		p.add(i.Offering, price)
	}
	log, err := os.ReadFile(filepath.Join(s.cluster.Dir(), "stowage.log"))
	if err != nil {
		return p, err
	}
	return p, p.readPlans(strings.Split(string(log), "\n"))
}
