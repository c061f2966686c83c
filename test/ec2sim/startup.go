package ec2sim

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/retry"
)

// removeStartupTaints plays the DaemonSets that take a startup taint away once they
// have prepared a node: so long after the node was first seen Ready as
// Options.StartupTaints says of the taint's key.
func (s *Server) removeStartupTaints() {
	factory := informers.NewSharedInformerFactory(s.opts.Client, 0)
	begun := map[string]bool{} // by node UID and key; only the informer's goroutine uses it
	see := func(obj any) {
		node, ok := obj.(*corev1.Node)
		if !ok || !ready(node) {
			return
		}
		for _, t := range node.Spec.Taints {
			delay, ours := s.opts.StartupTaints[t.Key]
			// A name may come again with another node; its UID does not.
			id := string(node.UID) + node.Name + " " + t.Key
			if !ours || begun[id] {
				continue
			}
			begun[id] = true
			s.wg.Go(func() { s.removeTaint(node.Name, t.Key, delay) })
		}
	}
	// Watched, and not told by join: whether a node is Ready is the cluster's to say,
	// also of nodes that did not come from here.
	informer := factory.Core().V1().Nodes().Informer()
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: see, UpdateFunc: func(_, n any) { see(n) }}); err != nil {
		s.opts.Logf("watching nodes for startup taints: %v", err)
		return
	}
	factory.Start(s.ctx.Done())
	<-s.ctx.Done()
	factory.Shutdown()
}

// ready says whether a node's condition Ready is true.
func ready(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

// removeTaint waits, and takes the taint away whatever its effect is. It reads the
// node anew for each attempt, since kubelet and controllers write to it too.
func (s *Server) removeTaint(name, key string, after time.Duration) {
	if !s.rest(nil, after) {
		return
	}
	nodes := s.opts.Client.CoreV1().Nodes()
	err := s.until(nil, func(ctx context.Context) error {
		return retry.RetryOnConflict(retry.DefaultRetry, func() error {
			node, err := nodes.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			node.Spec.Taints = slices.DeleteFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == key })
			_, err = nodes.Update(ctx, node, metav1.UpdateOptions{})
			return err
		})
	})
	if err != nil {
		s.opts.Logf("removing startup taint %s from node %s: %v", key, name, err)
		return
	}
	s.opts.Logf("removed startup taint %s from node %s", key, name)
}
