package oracle

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/informers"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/podtopologyspread"
)

// A judge lets pods onto the board.
type judge struct {
	*board
	store    store
	plugins  []fwk.FilterPlugin
	groups   []*group
	arrivals []*arrival
	queue    []queued
}

// A queued placement is part of an arrival, in the order of kube-scheduler's queue.
type queued struct {
	Placement
	*arrival
}

// A group is pods that are alike in all that the plugins look at. What a plugin learns
// about one of them before it looks at nodes holds for all.
type group struct {
	pod     *corev1.Pod
	left    int
	state   fwk.CycleState
	learnt  []lesson          // by plugin
	spreads []labels.Selector // of the pods that its hard spreads may count, matchLabelKeys aside
}

// A lesson is what a plugin said about a pod before it looked at nodes.
type lesson struct {
	known   bool
	skip    bool        // it has nothing to say
	refusal *fwk.Status // no node will do
	only    *fwk.PreFilterResult
}

// An arrival is pods of a group that are to join one node.
type arrival struct {
	*group
	node           fwk.NodeInfo
	pods           []fwk.PodInfo // bound to the node
	joined         int
	plugin, reason string // of the last refusal
}

// newJudge knows the cluster and who is to join it.
func newJudge(ctx context.Context, c Cluster, placements []Placement) (*judge, error) {
	if err := check(c, placements); err != nil {
		return nil, err
	}
	board, err := newBoard(c)
	if err != nil {
		return nil, err
	}
	j := &judge{board: board, store: store{informers.NewSharedInformerFactory(nil, 0)}}
	if j.plugins, err = newPlugins(ctx, &handle{nodes: board, store: j.store}); err != nil {
		return nil, err
	}
	for _, o := range c.Objects {
		if err := j.store.add(o); err != nil {
			return nil, err
		}
	}
	return j, j.enqueue(inQueueOrder(placements), telling(c, placements))
}

// enqueue makes groups and arrivals of placements, which come in the order of the queue.
func (j *judge) enqueue(placements []Placement, telling sets.Set[string]) error {
	type place struct {
		*group
		node string
	}
	groups, arrivals := map[string]*group{}, map[place]*arrival{}
	for _, p := range placements {
		key, err := json.Marshal(readBy(p.Pod, telling))
		if err != nil {
			return fmt.Errorf("reading pod %s/%s: %w", p.Pod.Namespace, p.Pod.Name, err)
		}
		g := groups[string(key)]
		if g == nil {
			g = newGroup(p.Pod, len(j.plugins))
			groups[string(key)], j.groups = g, append(j.groups, g)
		}
		at := place{g, p.Node}
		a := arrivals[at]
		if a == nil {
			node, err := j.Get(p.Node)
			if err != nil {
				return err
			}
			a = &arrival{group: g, node: node}
			arrivals[at], j.arrivals = a, append(j.arrivals, a)
		}
		info, err := framework.NewPodInfo(on(p.Pod, p.Node))
		if err != nil {
			return fmt.Errorf("reading pod %s/%s: %w", p.Pod.Namespace, p.Pod.Name, err)
		}
		a.pods = append(a.pods, info)
		g.left++
		j.queue = append(j.queue, queued{p, a})
	}
	return nil
}

func newGroup(p *corev1.Pod, plugins int) *group {
	g := &group{pod: p, state: framework.NewCycleState(), learnt: make([]lesson, plugins)}
	for i := range p.Spec.TopologySpreadConstraints {
		c := &p.Spec.TopologySpreadConstraints[i]
		// Where it does not parse, the plugin itself says so.
		if s, err := metav1.LabelSelectorAsSelector(c.LabelSelector); err == nil && c.WhenUnsatisfiable == corev1.DoNotSchedule {
			g.spreads = append(g.spreads, s)
		}
	}
	return g
}

// round lets in who may join now, and reports whether anybody did.
func (j *judge) round(ctx context.Context) (came bool, err error) {
	for _, a := range j.arrivals {
		for a.joined < len(a.pods) {
			if err := ctx.Err(); err != nil {
				return false, err
			}
			if ok, err := j.admits(ctx, a); err != nil {
				return false, fmt.Errorf("judging pod %s/%s on node %s: %w", a.pod.Namespace, a.pod.Name, a.node.Node().Name, err)
			} else if !ok {
				break
			}
			if err := j.join(ctx, a); err != nil {
				return false, err
			}
			came = true
		}
	}
	return came, nil
}

// admits asks the plugins in turn, and notes the first refusal.
func (j *judge) admits(ctx context.Context, a *arrival) (bool, error) {
	for i, plugin := range j.plugins {
		status, err := j.ask(ctx, a, i)
		if err != nil {
			return false, fmt.Errorf("plugin %s: %w", plugin.Name(), err)
		}
		if !status.IsSuccess() {
			a.plugin, a.reason = plugin.Name(), strings.Join(status.Reasons(), ", ")
			return false, nil
		}
	}
	return true, nil
}

// ask runs both halves of a plugin: what it learns about the pod, unless it knows that
// already, and whether the node will do.
func (j *judge) ask(ctx context.Context, a *arrival, i int) (*fwk.Status, error) {
	l := &a.learnt[i]
	if pre, ok := j.plugins[i].(fwk.PreFilterPlugin); ok && !l.known {
		only, status := pre.PreFilter(ctx, a.state, a.pod, j.nodes)
		*l = lesson{known: true, skip: status.IsSkip(), only: only}
		switch {
		case l.skip:
		case status.IsRejected():
			l.refusal = status
		case !status.IsSuccess():
			return nil, status.AsError()
		}
	}
	switch {
	case l.skip:
		return nil, nil
	case l.refusal != nil:
		return l.refusal, nil
	case !l.only.AllNodes() && !l.only.NodeNames.Has(a.node.Node().Name):
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "not among the nodes that the pod names"), nil
	}
	status := j.plugins[i].Filter(ctx, a.state, a.pod, a.node)
	if !status.IsSuccess() && !status.IsRejected() {
		return nil, status.AsError()
	}
	return status, nil
}

// join puts the next pod of an arrival on its node, and tells those who are still to come.
func (j *judge) join(ctx context.Context, a *arrival) error {
	info := a.pods[a.joined]
	a.node.AddPodInfo(info)
	a.joined++
	a.left--
	if err := j.noteVolumes(info.GetPod(), a.node.Node()); err != nil {
		return err
	}
	for _, g := range j.groups {
		if g.left == 0 {
			continue
		}
		for i, plugin := range j.plugins {
			if err := g.hear(ctx, plugin, &g.learnt[i], info, a.node); err != nil {
				return fmt.Errorf("plugin %s: telling pod %s/%s of %s/%s: %w", plugin.Name(), g.pod.Namespace, g.pod.Name,
					info.GetPod().Namespace, info.GetPod().Name, err)
			}
		}
	}
	return nil
}

// hear changes what a plugin has learnt about the group, as a pod joins a node. A spread is
// counted anew: of the domains with fewest pods the plugin keeps two, and does not find the
// third when these fill up.
func (g *group) hear(ctx context.Context, plugin fwk.FilterPlugin, l *lesson, came fwk.PodInfo, node fwk.NodeInfo) error {
	pre, ok := plugin.(fwk.PreFilterPlugin)
	if !ok || pre.PreFilterExtensions() == nil || !l.known {
		return nil
	}
	if _, ok := plugin.(*podtopologyspread.PodTopologySpread); ok {
		p := came.GetPod()
		if p.Namespace == g.pod.Namespace && slices.ContainsFunc(g.spreads, func(s labels.Selector) bool { return s.Matches(labels.Set(p.Labels)) }) {
			l.known = false
		}
		return nil
	}
	if l.refusal != nil || readsVolumes.Has(plugin.Name()) {
		return nil // it is about the pod's own terms; or noteVolumes has seen to it
	}
	if l.skip {
		// Nobody who stood there kept the pod away; whoever came may.
		l.known = !slices.ContainsFunc(came.GetRequiredAntiAffinityTerms(), func(t fwk.AffinityTerm) bool { return t.Selector.Matches(labels.Set(g.pod.Labels)) })
		return nil
	}
	return pre.PreFilterExtensions().AddPod(ctx, g.state, g.pod, came, node).AsError()
}

// refusals lists who has not joined.
func (j *judge) refusals() (refusals []Refusal) {
	seen := map[*arrival]int{}
	for _, q := range j.queue {
		if seen[q.arrival]++; seen[q.arrival] > q.joined {
			refusals = append(refusals, Refusal{q.Placement, q.plugin, q.reason})
		}
	}
	return refusals
}
