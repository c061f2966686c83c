package problem

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/storage/volume"

	"github.com/stowage-sh/stowage/binpack"
)

// Who of a batch may count on which volume, and who shares one.

func key(claim *corev1.PersistentVolumeClaim) types.NamespacedName {
	return types.NamespacedName{Namespace: claim.Namespace, Name: claim.Name}
}

// claimsOf calls yield with each claim of a pod that exists.
func (v *volumes) claimsOf(p *corev1.Pod, yield func(*corev1.PersistentVolumeClaim)) {
	for i := range p.Spec.Volumes {
		if name, ok := claimName(p, &p.Spec.Volumes[i]); ok {
			if claim, ok := v.Claims.Namespaced(p.Namespace, name); ok {
				yield(claim)
			}
		}
	}
}

// deal gives each claim of the batch that waits for its first pod the volumes that it may
// count on, whichever of those that it may take kube-scheduler gives to each.
func (v *volumes) deal() map[types.NamespacedName][]*corev1.PersistentVolume {
	if v.dealt != nil {
		return v.dealt
	}
	v.dealt = map[types.NamespacedName][]*corev1.PersistentVolume{}
	free := v.free()
	suits := map[types.NamespacedName][]*corev1.PersistentVolume{}
	suitors := map[string][]types.NamespacedName{}
	makes := map[types.NamespacedName]bool{}
	for _, p := range v.batch {
		v.claimsOf(p, func(claim *corev1.PersistentVolumeClaim) {
			if _, seen := suits[key(claim)]; seen || claim.Spec.VolumeName != "" {
				return
			}
			name := volume.GetPersistentVolumeClaimClass(claim)
			class, ok := v.Classes.Get(name)
			suits[key(claim)], makes[key(claim)] = suitable(claim, free[name]), ok && makesVolumes(class)
			for _, pv := range suits[key(claim)] {
				suitors[pv.Name] = append(suitors[pv.Name], key(claim))
			}
		})
	}
	for claim := range suits {
		v.dealt[claim] = share(claim, suits, suitors, makes[claim])
	}
	return v.dealt
}

// share returns the volumes that one of several claims may count on: all that it may take, if
// no other may take one of them; if all others may take the same, one for each in order, of
// those that can be reached from the same nodes: whichever each gets there, there is one for the
// next. Else it is nothing but for who comes first. Where volumes are made nobody need compete.
func share(claim types.NamespacedName, suits map[types.NamespacedName][]*corev1.PersistentVolume, suitors map[string][]types.NamespacedName, makes bool) []*corev1.PersistentVolume {
	own := suits[claim]
	alike := true
	var before []types.NamespacedName
	rivals := 0
	for _, pv := range own {
		for _, rival := range suitors[pv.Name] {
			if rival == claim {
				continue
			}
			rivals++
			alike = alike && slices.Equal(suits[rival], own)
			if rival.String() < claim.String() && !slices.Contains(before, rival) {
				before = append(before, rival)
			}
		}
	}
	switch {
	case rivals == 0:
		return own
	case makes || !alike && len(before) > 0:
		return nil
	case alike:
		own = reachedAlike(own)
		return own[min(len(before), len(own)):min(len(before)+1, len(own))]
	}
	return own
}

// reachedAlike returns the largest part of some volumes that can be reached from the same nodes.
func reachedAlike(some []*corev1.PersistentVolume) []*corev1.PersistentVolume {
	parts := map[string][]*corev1.PersistentVolume{}
	var most []*corev1.PersistentVolume
	for _, pv := range some {
		text, _ := json.Marshal(pv.Spec.NodeAffinity) // of plain fields
		parts[string(text)] = append(parts[string(text)], pv)
		if part := parts[string(text)]; len(part) > len(most) {
			most = part
		}
	}
	return most
}

// free lists the volumes that are not bound, the smallest first, by their class.
func (v *volumes) free() map[string][]*corev1.PersistentVolume {
	free := map[string][]*corev1.PersistentVolume{}
	for _, pv := range v.Volumes.All() {
		if pv.Status.Phase != corev1.VolumeBound && pv.Status.Phase != corev1.VolumeReleased {
			class := volume.GetPersistentVolumeClass(pv)
			free[class] = append(free[class], pv)
		}
	}
	for _, some := range free {
		slices.SortStableFunc(some, func(a, b *corev1.PersistentVolume) int {
			x, y := a.Spec.Capacity[corev1.ResourceStorage], b.Spec.Capacity[corev1.ResourceStorage]
			return x.Cmp(y)
		})
	}
	return free
}

// suitable returns those of some volumes that kube-scheduler would bind a claim to, on a
// node that can reach them.
func suitable(claim *corev1.PersistentVolumeClaim, some []*corev1.PersistentVolume) (out []*corev1.PersistentVolume) {
	for _, pv := range some {
		anywhere := *pv // shallow: nothing below is written
		anywhere.Spec.NodeAffinity = nil
		if match, err := volume.FindMatchingVolume(claim, []*corev1.PersistentVolume{&anywhere}, &corev1.Node{}, nil, true, true); err == nil && match != nil {
			out = append(out, pv)
		}
	}
	return out
}

// holder returns the pod that has a claim which only one may have, or that comes first of
// the batch.
func (v *volumes) holder(claim *corev1.PersistentVolumeClaim) *corev1.Pod {
	if v.holders == nil {
		v.holders = map[types.NamespacedName]*corev1.Pod{}
		note := func(p *corev1.Pod) {
			v.claimsOf(p, func(claim *corev1.PersistentVolumeClaim) {
				if _, held := v.holders[key(claim)]; !held && slices.Contains(claim.Spec.AccessModes, corev1.ReadWriteOncePod) {
					v.holders[key(claim)] = p
				}
			})
		}
		for i := range v.bins {
			for _, p := range v.bins[i].pods {
				note(p)
			}
		}
		// In the order of kube-scheduler's queue.
		for _, p := range slices.SortedFunc(slices.Values(v.batch), func(a, b *corev1.Pod) int {
			return cmp.Or(cmp.Compare(corev1helpers.PodPriority(b), corev1helpers.PodPriority(a)),
				a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
		}) {
			note(p)
		}
	}
	return v.holders[key(claim)]
}

// shared reports whether pods share a claim of the batch whose volume will be in one zone: one
// that many nodes may write to at once is taken to be everywhere.
func (v *volumes) shared(claim *corev1.PersistentVolumeClaim) bool {
	if v.sharers == nil {
		v.sharers = map[types.NamespacedName]int{}
		note := func(p *corev1.Pod) {
			v.claimsOf(p, func(claim *corev1.PersistentVolumeClaim) { v.sharers[key(claim)]++ })
		}
		for _, p := range v.batch {
			note(p)
		}
		for i := range v.bins {
			for _, p := range v.bins[i].pods {
				note(p)
			}
		}
	}
	return v.sharers[key(claim)] > 1 && !slices.Contains(claim.Spec.AccessModes, corev1.ReadWriteMany)
}

// nearClaims keeps pods that share a claim in the zone to which its first pod will bind it.
func (b *builder) nearClaims() {
	owners := map[string][]int{}
	for i, g := range b.groups {
		for _, claim := range g.storage.near {
			owners[claim] = append(owners[claim], i)
		}
	}
	for _, claim := range slices.Sorted(maps.Keys(owners)) {
		a := binpack.Affinity{ID: "claim " + claim, Key: b.key(corev1.LabelTopologyZone), Owners: binpack.SetOf(owners[claim]...)}
		a.Targets = a.Owners
		for i := range b.t.Bins {
			for _, p := range b.t.Bins[i].pods {
				b.t.volumes.claimsOf(p, func(c *corev1.PersistentVolumeClaim) {
					if d := b.p.Nodes[i].Domains[a.Key]; key(c).String() == claim && d != binpack.NoDomain {
						a.Present.Add(d)
					}
				})
			}
		}
		b.p.Affinities = append(b.p.Affinities, a)
	}
}

// objects lists what there is of storage.
func (v *volumes) objects() (all []runtime.Object) {
	for _, o := range v.Claims.All() {
		all = append(all, o)
	}
	for _, o := range v.Volumes.All() {
		all = append(all, o)
	}
	for _, o := range v.Classes.All() {
		all = append(all, o)
	}
	for _, o := range v.Nodes.All() {
		all = append(all, o)
	}
	for _, o := range v.Attachments.All() {
		all = append(all, o)
	}
	return all
}
