package problem

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

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

// A suit is claims that may take the same volumes, which are free.
type suit struct {
	volumes []*corev1.PersistentVolume
	claims  []int // in the order of queue
	makes   bool  // their class makes volumes where none is left
}

// deal gives each claim that waits for its first pod the volumes that it may count on,
// whichever of those that it may take kube-scheduler gives to each:
//
//   - all that it may take, if no other claim may take one of them,
//   - those that can be reached from the same nodes, if there are more of them than rivals,
//   - all again, if it comes before all its rivals,
//   - none otherwise, or where volumes are made: then nobody need compete.
func (v *volumes) deal() map[types.NamespacedName][]*corev1.PersistentVolume {
	if v.dealt != nil {
		return v.dealt
	}
	v.dealt = map[types.NamespacedName][]*corev1.PersistentVolume{}
	claims, suits := v.suits()
	takers := map[string][]*suit{} // by volume
	for _, s := range suits {
		for _, pv := range s.volumes {
			takers[pv.Name] = append(takers[pv.Name], s)
		}
	}
	for _, s := range suits {
		rivals, first := -1, s.claims[0] // itself is no rival
		counted := map[*suit]bool{}
		for _, pv := range s.volumes {
			for _, other := range takers[pv.Name] {
				if !counted[other] {
					counted[other] = true
					rivals, first = rivals+len(other.claims), min(first, other.claims[0])
				}
			}
		}
		alike := reachedAlike(s.volumes)
		for _, claim := range s.claims {
			switch {
			case rivals <= 0 || !s.makes && len(alike) <= rivals && claim == first:
				v.dealt[claims[claim]] = s.volumes
			case !s.makes && len(alike) > rivals:
				v.dealt[claims[claim]] = alike
			}
		}
	}
	return v.dealt
}

// suits returns the claims that wait for their first pod, those of earlier plans first and those
// of pods that stand back last, and which of them may take what.
func (v *volumes) suits() (claims []types.NamespacedName, suits []*suit) {
	free, byVolumes, seen := v.free(), map[string]*suit{}, map[types.NamespacedName]bool{}
	for _, p := range v.queue() {
		v.ClaimsOf(p, func(claim *corev1.PersistentVolumeClaim) {
			if seen[key(claim)] || claim.Spec.VolumeName != "" {
				return
			}
			seen[key(claim)] = true
			class := volume.GetPersistentVolumeClaimClass(claim)
			some := suitable(claim, free[class])
			names := make([]string, len(some))
			for i, pv := range some {
				names[i] = pv.Name
			}
			text := strings.Join(names, " ") + " of " + class
			if byVolumes[text] == nil {
				object, ok := v.Classes.Get(class)
				byVolumes[text] = &suit{volumes: some, makes: ok && makesVolumes(object)}
				suits = append(suits, byVolumes[text])
			}
			byVolumes[text].claims = append(byVolumes[text].claims, len(claims))
			claims = append(claims, key(claim))
		})
	}
	return claims, suits
}

// queue returns the pods that are not bound yet in the order in which they come by their claims:
// those planned earlier, then the batch as kube-scheduler's queue has it, those that stand back
// last.
func (v *volumes) queue() []*corev1.Pod {
	var planned []*corev1.Pod
	for i := range v.bins {
		for _, p := range v.bins[i].pods {
			if p.Spec.NodeName == "" {
				planned = append(planned, p)
			}
		}
	}
	back := func(p *corev1.Pod) int {
		if v.standBack[p.UID] {
			return 1
		}
		return 0
	}
	return slices.Concat(planned, slices.SortedFunc(slices.Values(v.batch), func(a, b *corev1.Pod) int {
		return cmp.Or(cmp.Compare(back(a), back(b)), cmp.Compare(corev1helpers.PodPriority(b), corev1helpers.PodPriority(a)),
			a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	}))
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
			v.ClaimsOf(p, func(claim *corev1.PersistentVolumeClaim) {
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
		for _, p := range v.queue() {
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
			v.ClaimsOf(p, func(claim *corev1.PersistentVolumeClaim) { v.sharers[key(claim)]++ })
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
				b.t.volumes.ClaimsOf(p, func(c *corev1.PersistentVolumeClaim) {
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
	for _, o := range v.CSINodes.All() {
		all = append(all, o)
	}
	for _, o := range v.Attachments.All() {
		all = append(all, o)
	}
	return all
}

// hasClaims reports whether a pod has a claim that exists.
func (v *volumes) hasClaims(p *corev1.Pod) (has bool) {
	v.ClaimsOf(p, func(*corev1.PersistentVolumeClaim) { has = true })
	return has
}
