package problem

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/state"
)

// A daemon is a DaemonSet: a pod that every node which it fits will get.
type daemon struct {
	uid      types.UID
	pod      *corev1.Pod // as it will be, but for name and node
	requests cloudprovider.Resources
	selector nodeSelector
	keepsOut []rule // by which the pod keeps others away
	ports    []hostPort
}

// daemonTolerations are what the DaemonSet controller adds to each pod of its
// own (Kubernetes documentation, "DaemonSet", taints and tolerations).
var daemonTolerations = []corev1.Toleration{
	{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
	{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
	{Key: corev1.TaintNodeDiskPressure, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
	{Key: corev1.TaintNodeMemoryPressure, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
	{Key: corev1.TaintNodePIDPressure, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
	{Key: corev1.TaintNodeUnschedulable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule},
}

// daemonsOf lists the DaemonSets of a snapshot, but for those whose pods the API server would
// refuse.
func daemonsOf(s *state.Snapshot, ns *namespaces) []daemon {
	var daemons []daemon
	for _, ds := range s.DaemonSets.All() {
		if ds.DeletionTimestamp != nil {
			continue
		}
		p := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: ds.Namespace, Name: ds.Name, Labels: ds.Spec.Template.Labels},
			Spec:       *ds.Spec.Template.Spec.DeepCopy(),
		}
		SetDefaults(&p.Spec)
		var class *nodev1.RuntimeClass
		if name := p.Spec.RuntimeClassName; name != nil {
			class, _ = s.RuntimeClasses.Get(*name)
		}
		if AddRuntimeClass(&p.Spec, class) != "" {
			continue
		}
		p.Spec.Tolerations = append(p.Spec.Tolerations, daemonTolerations...)
		daemons = append(daemons, daemon{uid: ds.UID, pod: p, requests: Requests(p), selector: newNodeSelector(&p.Spec), keepsOut: standingRules(p, ns), ports: hostPorts(&p.Spec)})
	}
	return daemons
}

// runsOn reports whether the DaemonSet puts a pod on such a node.
func (d *daemon) runsOn(node labels.Labels, name string, taints []corev1.Taint) bool {
	return tolerates(d.pod.Spec.Tolerations, taints) && d.selector.matches(node, name)
}

// ownedBy reports whether a pod's controller has this UID.
func ownedBy(p *corev1.Pod, uid types.UID) bool {
	owner := metav1.GetControllerOf(p)
	return owner != nil && owner.UID == uid
}

// overhead sums what DaemonSets will take on such a node, but for those of which
// a pod is there already; nil where they take nothing.
func (b *builder) overhead(on labels.Labels, name string, taints []corev1.Taint, there []*corev1.Pod) cloudprovider.Resources {
	var sum cloudprovider.Resources
	for i := range b.t.daemons {
		d := &b.t.daemons[i]
		if !d.runsOn(on, name, taints) || slices.ContainsFunc(there, func(p *corev1.Pod) bool { return ownedBy(p, d.uid) }) {
			continue
		}
		if sum == nil {
			sum = cloudprovider.Resources{}
		}
		add(sum, d.requests)
	}
	return sum
}

// reaches reports whether the DaemonSet may have yet to put a pod on a bin, one form of
// the machine that it may turn out as being enough.
func (d *daemon) reaches(bin *Bin) bool {
	if bin.initialized() {
		return false
	}
	for _, p := range bin.pods {
		if ownedBy(p, d.uid) {
			return false
		}
	}
	for _, f := range bin.forms {
		if d.runsOn(f.labels, bin.Name(), bin.taints) {
			return true
		}
	}
	return false
}

// counted returns the DaemonSet whose pods a spread of the group counts, if there
// is one. New nodes then bring pods that count along, which a problem cannot say.
func (g *group) counted(daemons []daemon) (field, name string) {
	for i := range g.rules {
		r := &g.rules[i]
		for j := range daemons {
			if p := daemons[j].pod; r.kind == spread && r.term.matches(p) {
				return r.field, p.Namespace + "/" + p.Name
			}
		}
	}
	return "", ""
}

// countsAny reports whether a spread counts pods of a DaemonSet.
func (r *rule) countsAny(daemons []daemon) bool {
	return slices.ContainsFunc(daemons, func(d daemon) bool { return r.term.matches(d.pod) })
}

// keepFromDaemons keeps groups out of the domains of machines that will get a pod
// of a DaemonSet which they must be apart from: by their own anti-affinity, by that
// pod's, or since both take the same port of their node.
func (b *builder) keepFromDaemons() {
	for i := range b.t.daemons {
		d := &b.t.daemons[i]
		keys := map[string][]int{} // groups to keep out, by topology key
		for g := range b.groups {
			for _, r := range b.groups[g].rules {
				if r.kind == antiAffinity && r.term.matches(d.pod) {
					keys[r.key] = append(keys[r.key], g)
				}
			}
			for _, r := range d.keepsOut {
				if r.term.matches(b.groups[g].pods[0]) {
					keys[r.key] = append(keys[r.key], g)
				}
			}
			if p, ok := clash(b.groups[g].ports, d.ports); ok {
				keys[corev1.LabelHostname] = append(keys[corev1.LabelHostname], g)
				b.t.ruledOut[g] = append(b.t.ruledOut[g], fmt.Sprintf("host port %s is taken by DaemonSet %s/%s", p, d.pod.Namespace, d.pod.Name))
			} else if slices.Contains(keys[corev1.LabelHostname], g) {
				b.t.ruledOut[g] = append(b.t.ruledOut[g], fmt.Sprintf("anti-affinity keeps it apart from DaemonSet %s/%s", d.pod.Namespace, d.pod.Name))
			}
		}
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			b.keepFrom(d, b.key(key), binpack.SetOf(keys[key]...))
		}
	}
}

// keepFrom keeps groups out of the domains of a key in which there will be a pod
// of d.
func (b *builder) keepFrom(d *daemon, key int, groups binpack.Set) {
	var reached, runs, domains binpack.Set
	for i := range b.t.Bins {
		if d.reaches(&b.t.Bins[i]) {
			reached.Add(i)
		}
	}
	b.forbid(groups, key, reached)
	for i := range b.t.Rows {
		if row := &b.t.Rows[i]; b.anyOffer.Has(i) && d.runsOn(row, "", row.Pool.Spec.Template.Spec.Taints) {
			runs.Add(i)
			if key != binpack.Hostname && b.p.Offers[i].Domains[key] != binpack.NoDomain {
				domains.Add(b.p.Offers[i].Domains[key])
			}
		}
	}
	b.forbidDomains(groups, key, domains)
	for g := range groups.All {
		group := &b.p.Groups[g]
		group.Offers = without(group.Offers, runs.Has)
	}
}
