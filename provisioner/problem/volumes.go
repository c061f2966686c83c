package problem

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-helpers/storage/ephemeral"
	"k8s.io/component-helpers/storage/volume"

	"github.com/stowage-sh/stowage/provisioner/state"
)

// What the volumes of a pod ask of its node, as kube-scheduler's plugins VolumeBinding,
// VolumeZone, VolumeRestrictions and NodeVolumeLimits have it:
//
//	a claim that is bound              where its volume can be reached from
//	one that waits for its first pod   where a volume is left for it, or may be made
//	any other                          nothing yet: the pod waits for the claim
//	ReadWriteOncePod                   no other pod has the claim
//	CSI drivers                        as many attachments as their volumes need
//
// Volumes that are there already are dealt out among the claims, so that no two count on the same
// one; which is left open where kube-scheduler may take any.
//
// The room that a driver has for new volumes (CSIStorageCapacity) is not looked at. Where a driver
// tells it, a claim without a volume is only planned for nodes that are not there or not initialized
// yet, since kube-scheduler tries the others; and if the node that came has no room either, the pod
// waits, and no more nodes are bought for it.

// volumes knows the storage of a snapshot, and who of a batch waits for what of it.
type volumes struct {
	state.Storage
	nodes state.List[*corev1.Node]
	batch []*corev1.Pod
	bins  []Bin
	// standBack are pods of the batch that leave claims to others; lost those whose new nodes
	// have not taken them.
	standBack, lost map[types.UID]bool
	// dealt holds the volumes that each unbound claim of the batch may count on; nil
	// until somebody asks.
	dealt map[types.NamespacedName][]*corev1.PersistentVolume
	// holders says which pod has each claim that only one may have; nil until somebody asks.
	holders map[types.NamespacedName]*corev1.Pod
	// sharers counts the pods by claim; nil until somebody asks.
	sharers map[types.NamespacedName]int
	// attachedByNode lists what is attached to each node; nil until somebody asks.
	attachedByNode map[string][]string
}

// A storageDemand is what the volumes of a pod ask of its node.
type storageDemand struct {
	// waits says what the pod waits for instead of a node, if it does.
	waits string
	// where lists what the node must meet, one term of each choice.
	where []choice
	// attach counts the volumes that the node must attach, by CSI driver.
	attach map[string]int64
	// untried keeps the pod from nodes that kube-scheduler has tried.
	untried bool
	// near lists the claims that pods of the batch share and that have no volume yet: it
	// will be where the first of these pods goes.
	near []string
}

// A choice is met by a node that meets one of its terms.
type choice struct {
	claim string // that asks for it, for reasons
	terms []nodeTerm
	text  string // equal for equal choices
}

// of says what the volumes of a pod of the batch ask.
func (v *volumes) of(p *corev1.Pod) storageDemand {
	var d storageDemand
	attached := map[string]string{}
	for i := range p.Spec.Volumes {
		name, ok := state.ClaimName(p, &p.Spec.Volumes[i])
		if !ok {
			continue
		}
		claim, waits := v.claim(p, &p.Spec.Volumes[i], name)
		if waits == "" {
			waits = v.ask(&d, claim, p.Spec.Volumes[i].Ephemeral != nil)
		}
		if waits != "" {
			return storageDemand{waits: waits}
		}
		for _, driver := range v.driversOf(claim) {
			attached[driver+" "+name] = driver
		}
	}
	for _, driver := range attached {
		if d.attach == nil {
			d.attach = map[string]int64{}
		}
		d.attach[driver]++
	}
	if d.untried && v.lost[p.UID] {
		return storageDemand{waits: "room for its volumes: the driver had none on the node that came for it"}
	}
	slices.SortFunc(d.where, func(a, b choice) int { return cmp.Or(cmp.Compare(a.text, b.text), cmp.Compare(a.claim, b.claim)) })
	d.where = slices.CompactFunc(d.where, func(a, b choice) bool { return a.text == b.text })
	slices.Sort(d.near)
	return d
}

// claim finds a claim of a pod, or says what the pod has to wait for first.
func (v *volumes) claim(p *corev1.Pod, vol *corev1.Volume, name string) (claim *corev1.PersistentVolumeClaim, waits string) {
	claim, ok := v.Claims.Namespaced(p.Namespace, name)
	switch {
	case !ok && vol.Ephemeral != nil:
		return nil, "claim " + name + ", which is still to be made for volume " + vol.Name
	case !ok:
		return nil, "claim " + name + ", which does not exist"
	case claim.Status.Phase == corev1.ClaimLost:
		return nil, "claim " + name + ", whose volume " + claim.Spec.VolumeName + " is lost"
	case claim.DeletionTimestamp != nil:
		return nil, "claim " + name + ", which is being deleted"
	case vol.Ephemeral != nil && ephemeral.VolumeIsForPod(p, claim) != nil:
		return nil, "claim " + name + ", which is not the pod's own as that of volume " + vol.Name + " has to be"
	}
	if vol.Ephemeral == nil && slices.Contains(claim.Spec.AccessModes, corev1.ReadWriteOncePod) {
		if other := v.holder(claim); other != nil && other.UID != p.UID {
			return nil, "claim " + name + ", which is for one pod only, and " + other.Name + " has it or comes first"
		}
	}
	return claim, ""
}

// ask adds what a claim asks of the node, or says what the pod has to wait for first.
func (v *volumes) ask(d *storageDemand, claim *corev1.PersistentVolumeClaim, own bool) (waits string) {
	if claim.Spec.VolumeName != "" {
		if _, bound := claim.Annotations[volume.AnnBindCompleted]; !bound {
			return "claim " + claim.Name + ", which is still to be bound to volume " + claim.Spec.VolumeName
		}
		pv, ok := v.Volumes.Get(claim.Spec.VolumeName)
		if !ok {
			return "claim " + claim.Name + ", whose volume " + claim.Spec.VolumeName + " does not exist"
		}
		if terms, anywhere := reachable(pv); !anywhere {
			d.choose(claim, terms)
		}
		if !own { // kube-scheduler does not read the labels otherwise
			for _, terms := range zoneTerms(pv) {
				d.choose(claim, terms)
			}
		}
		return ""
	}
	name := volume.GetPersistentVolumeClaimClass(claim)
	class, ok := v.Classes.Get(name)
	switch {
	case name == "":
		return "claim " + claim.Name + ", which is not bound and has no StorageClass"
	case !ok:
		return "claim " + claim.Name + ", whose StorageClass " + name + " does not exist"
	case class.VolumeBindingMode == nil || *class.VolumeBindingMode != storagev1.VolumeBindingWaitForFirstConsumer:
		return "claim " + claim.Name + ", which is still to be bound"
	}
	return v.askUnbound(d, claim, class)
}

// askUnbound adds what a claim asks that gets its volume once its pod has a node.
func (v *volumes) askUnbound(d *storageDemand, claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) (waits string) {
	var terms []corev1.NodeSelectorTerm
	anywhere := false
	node, chosen := claim.Annotations[volume.AnnSelectedNode]
	if _, there := v.nodes.Get(node); chosen && !there {
		return "claim " + claim.Name + ", whose volume was to be made for node " + node + ", which is gone"
	}
	if chosen {
		d.choose(claim, []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{
			{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{node}},
		}}})
	} else {
		for _, pv := range v.deal()[key(claim)] {
			more, all := reachable(pv)
			terms, anywhere = append(terms, more...), anywhere || all
		}
	}
	if makesVolumes(class) {
		terms, anywhere = append(terms, topologyTerms(class.AllowedTopologies)...), anywhere || len(class.AllowedTopologies) == 0
		driver, ok := v.Drivers.Get(class.Provisioner)
		d.untried = d.untried || !chosen && ok && driver.Spec.StorageCapacity != nil && *driver.Spec.StorageCapacity
	} else if !anywhere && len(terms) == 0 {
		return "claim " + claim.Name + ": other claims come first for the volumes that there are, and its StorageClass " + class.Name + " makes none"
	}
	if !anywhere {
		d.choose(claim, terms)
	}
	if v.shared(claim) {
		d.near = append(d.near, key(claim).String())
	}
	return ""
}

// makesVolumes reports whether volumes of a class are made when they are needed.
func makesVolumes(class *storagev1.StorageClass) bool {
	return class.Provisioner != "" && class.Provisioner != volume.NotSupportedProvisioner
}

// choose adds that the node must meet one of some terms.
func (d *storageDemand) choose(claim *corev1.PersistentVolumeClaim, terms []corev1.NodeSelectorTerm) {
	c := choice{claim: claim.Name}
	texts := make([]string, 0, len(terms))
	for _, t := range terms {
		text, _ := json.Marshal(t) // of plain fields
		if term, err := newNodeTerm(t); err == nil && !slices.Contains(texts, string(text)) {
			c.terms, texts = append(c.terms, term), append(texts, string(text))
		}
	}
	slices.Sort(texts)
	c.text = strings.Join(texts, " or ")
	d.where = append(d.where, c)
}

// reachable returns the terms of which a node must meet one to reach a volume.
func reachable(pv *corev1.PersistentVolume) (terms []corev1.NodeSelectorTerm, anywhere bool) {
	if pv.Spec.NodeAffinity == nil || pv.Spec.NodeAffinity.Required == nil {
		return nil, true
	}
	return pv.Spec.NodeAffinity.Required.NodeSelectorTerms, false
}

// topologyTerms writes where a StorageClass allows volumes as terms of a node selector.
func topologyTerms(allowed []corev1.TopologySelectorTerm) []corev1.NodeSelectorTerm {
	terms := make([]corev1.NodeSelectorTerm, len(allowed))
	for i := range allowed {
		for _, e := range allowed[i].MatchLabelExpressions {
			terms[i].MatchExpressions = append(terms[i].MatchExpressions, corev1.NodeSelectorRequirement{Key: e.Key, Operator: corev1.NodeSelectorOpIn, Values: e.Values})
		}
	}
	return terms
}

// zoneKeys are the labels by which volumes of old say where they are, and what the key of
// each is today.
var zoneKeys = []struct{ key, now string }{
	{corev1.LabelFailureDomainBetaZone, corev1.LabelTopologyZone},
	{corev1.LabelFailureDomainBetaRegion, corev1.LabelTopologyRegion},
	{corev1.LabelTopologyZone, corev1.LabelTopologyZone},
	{corev1.LabelTopologyRegion, corev1.LabelTopologyRegion},
}

// zoneTerms returns what the labels of a volume ask of a node: for each of them to have one of
// its values, by today's key where it has no other, or no such label at all.
func zoneTerms(pv *corev1.PersistentVolume) (all [][]corev1.NodeSelectorTerm) {
	lacks := func(key string) corev1.NodeSelectorRequirement {
		return corev1.NodeSelectorRequirement{Key: key, Operator: corev1.NodeSelectorOpDoesNotExist}
	}
	var none corev1.NodeSelectorTerm
	for _, z := range zoneKeys {
		none.MatchExpressions = append(none.MatchExpressions, lacks(z.key))
	}
	for _, z := range zoneKeys {
		value, ok := pv.Labels[z.key]
		if !ok {
			continue
		}
		in := func(key string) corev1.NodeSelectorRequirement {
			return corev1.NodeSelectorRequirement{Key: key, Operator: corev1.NodeSelectorOpIn, Values: strings.Split(value, "__")}
		}
		terms := []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{in(z.key)}}, none}
		if z.now != z.key {
			terms = append(terms, corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{lacks(z.key), in(z.now)}})
		}
		all = append(all, terms)
	}
	return all
}

// meets reports whether a node with these labels will do.
func (d *storageDemand) meets(node labels.Labels, name string) bool {
	return !slices.ContainsFunc(d.where, func(c choice) bool {
		return !c.meets(node, name)
	})
}

func (c *choice) meets(node labels.Labels, name string) bool {
	return slices.ContainsFunc(c.terms, func(t nodeTerm) bool { return t.matches(node, name) })
}

// key is equal for demands that the same places meet.
func (d *storageDemand) key() string {
	if len(d.where) == 0 && !d.untried {
		return ""
	}
	texts := make([]string, len(d.where))
	for i := range d.where {
		texts[i] = d.where[i].text
	}
	return fmt.Sprint(d.untried, " ", strings.Join(texts, " and "))
}

// text is equal for equal demands.
func (d *storageDemand) text() string {
	if d.waits != "" {
		return d.waits
	}
	if len(d.attach)+len(d.near) == 0 {
		return d.key()
	}
	return fmt.Sprint(d.key(), " ", d.attach, " ", d.near)
}
