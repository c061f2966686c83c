package problem

import (
	"maps"
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/storage/volume"
	csitranslation "k8s.io/csi-translation-lib"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/cloudprovider"
)

// How many volumes of each CSI driver a node may attach.
//
// A node says it in its CSINode. For one that is still to be bought, or has not said it yet, it is
// what the youngest node of its instance type says, or else what the cloud expects: a driver counts
// when it starts, and says less on a node that has many network interfaces by then. In a problem it
// is a resource. A volume that pods of one node share is counted once for each of them, which asks
// for more than kube-scheduler does. Disks that running pods name without a claim are not counted.

// attachPrefix begins the name of the resource of a CSI driver's attachments; the rest is the
// driver's name.
const attachPrefix = "attachable-volumes-csi-"

// anyNumber is what a node may attach that has no limit.
const anyNumber = math.MaxInt32

// intree knows the CSI drivers that have taken over from the volume plugins of old.
var intree = csitranslation.New()

// attachment returns what a claim attaches: a name for the volume that is equal for the same
// volume, and its driver; no driver if it is of none.
func (v *volumes) attachment(claim *corev1.PersistentVolumeClaim) (handle, driver string) {
	if pv, ok := v.Volumes.Get(claim.Spec.VolumeName); ok {
		return attached(pv)
	}
	class, ok := v.Classes.Get(volume.GetPersistentVolumeClaimClass(claim))
	if !ok {
		return "", ""
	}
	driver = class.Provisioner
	if intree.IsMigratableIntreePluginByName(driver) {
		driver, _ = intree.GetCSINameFromInTreeName(driver)
	}
	return driver + " for " + key(claim).String(), driver
}

// driversOf returns the drivers of one of which a claim of the batch will attach a volume.
func (v *volumes) driversOf(claim *corev1.PersistentVolumeClaim) (drivers []string) {
	if _, driver := v.attachment(claim); driver != "" {
		drivers = append(drivers, driver)
	}
	if claim.Spec.VolumeName == "" {
		for _, pv := range v.deal()[key(claim)] {
			if _, driver := attached(pv); driver != "" && !slices.Contains(drivers, driver) {
				drivers = append(drivers, driver)
			}
		}
	}
	return drivers
}

// attached is attachment for a volume.
func attached(pv *corev1.PersistentVolume) (handle, driver string) {
	switch {
	case pv.Spec.CSI != nil:
		driver, handle = pv.Spec.CSI.Driver, pv.Spec.CSI.VolumeHandle
	case intree.IsPVMigratable(pv):
		plugin, _ := intree.GetInTreePluginNameFromSpec(pv, nil)
		driver, _ = intree.GetCSINameFromInTreeName(plugin)
		handle = "volume " + pv.Name
	}
	return driver + " " + handle, driver
}

// attachLimits says how many volumes of a CSI driver the instance types may attach. One that
// is not there has no limit.
type attachLimits map[string]int64

func (l attachLimits) of(instanceType string) int64 {
	if n, ok := l[instanceType]; ok {
		return n
	}
	return anyNumber
}

// learnLimits finds the limits of each driver whose volumes the groups attach, those
// that have none left out.
func (b *builder) learnLimits() {
	b.t.limits = map[string]attachLimits{}
	for _, g := range b.groups {
		for driver := range g.storage.attach {
			b.t.limits[driver] = nil
		}
	}
	for driver := range b.t.limits {
		limits, told, says := attachLimits{}, attachLimits{}, map[string]*corev1.Node{}
		for i := range b.t.Rows {
			if n, ok := b.t.Rows[i].Type.VolumeLimits[driver]; ok {
				limits[b.t.Rows[i].Type.Name] = n
			}
		}
		for i := range b.t.Bins {
			bin := &b.t.Bins[i]
			n, ok := b.toldLimit(bin, driver)
			kind := bin.labels[corev1.LabelInstanceTypeStable]
			if youngest := says[kind]; ok && kind != "" && bin.usable && (youngest == nil || youngest.CreationTimestamp.Before(&bin.Node.CreationTimestamp)) {
				told[kind], says[kind] = n, bin.Node
			}
		}
		maps.Copy(limits, told)
		b.t.limits[driver] = limits
	}
	maps.DeleteFunc(b.t.limits, func(_ string, l attachLimits) bool { return len(l) == 0 })
}

// toldLimit returns how many volumes of a driver the node says that it may attach.
func (b *builder) toldLimit(bin *Bin, driver string) (int64, bool) {
	if bin.Node == nil {
		return 0, false
	}
	csi, ok := b.t.volumes.CSINodes.Get(bin.Node.Name)
	if !ok {
		return 0, false
	}
	for _, d := range csi.Spec.Drivers {
		if d.Name == driver && d.Allocatable != nil && d.Allocatable.Count != nil {
			return int64(*d.Allocatable.Count), true
		}
	}
	return 0, false
}

// csiNode says what the CSI drivers will say of a node of an instance type.
func (t *Translation) csiNode(name, instanceType string) *storagev1.CSINode {
	n := &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, driver := range slices.Sorted(maps.Keys(t.limits)) {
		if limit, ok := t.limits[driver][instanceType]; ok {
			n.Spec.Drivers = append(n.Spec.Drivers, storagev1.CSINodeDriver{Name: driver, NodeID: name, Allocatable: &storagev1.VolumeNodeResources{Count: new(int32(limit))}})
		}
	}
	return n
}

// asks returns what a pod of the group asks of a node, the attachments that have
// a limit included.
func (b *builder) asks(g *group) cloudprovider.Resources {
	all := g.requests
	for driver, n := range g.storage.attach {
		if b.t.limits[driver] == nil {
			continue
		}
		if len(all) == len(g.requests) {
			all = maps.Clone(all)
		}
		all[attachPrefix+driver] = n
	}
	return all
}

// attachable completes what nodes of an instance type have by what they may attach.
func (b *builder) attachable(v binpack.Vector, instanceType string) {
	for r, name := range b.p.Resources {
		if driver, ok := strings.CutPrefix(name, attachPrefix); ok {
			v[r] = b.t.limits[driver].of(instanceType)
		}
	}
}

// attachableTo completes what a bin has in one of its forms by what it may attach still.
func (b *builder) attachableTo(bin *Bin, f form, has, taken binpack.Vector) {
	for r, name := range b.p.Resources {
		driver, ok := strings.CutPrefix(name, attachPrefix)
		if !ok {
			continue
		}
		limit, told := b.toldLimit(bin, driver)
		switch {
		case told:
			has[r] = limit
		case bin.Claim == nil:
			has[r] = anyNumber // kube-scheduler goes by what the node says; one of ours will say it soon
		default:
			has[r] = b.t.limits[driver].of(f.labels[corev1.LabelInstanceTypeStable])
		}
		taken[r] = b.attachedTo(bin, driver)
	}
}

// attachedTo counts the volumes of a driver that a bin has, or will have for its pods.
func (b *builder) attachedTo(bin *Bin, driver string) int64 {
	var handles []string
	for _, p := range bin.pods {
		b.t.volumes.ClaimsOf(p, func(claim *corev1.PersistentVolumeClaim) {
			if handle, d := b.t.volumes.attachment(claim); d == driver {
				handles = append(handles, handle)
			}
		})
	}
	if bin.Node != nil {
		for _, a := range b.t.volumes.attachedTo(bin.Node.Name) {
			if pv, ok := b.t.volumes.Volumes.Get(a); ok {
				if handle, d := attached(pv); d == driver {
					handles = append(handles, handle)
				}
			}
		}
	}
	slices.Sort(handles)
	return int64(len(slices.Compact(handles)))
}

// attachedTo lists the volumes that are attached to a node, or are about to be.
func (v *volumes) attachedTo(node string) []string {
	if v.attachedByNode == nil {
		v.attachedByNode = map[string][]string{}
		for _, a := range v.Attachments.All() {
			if pv := a.Spec.Source.PersistentVolumeName; pv != nil {
				v.attachedByNode[a.Spec.NodeName] = append(v.attachedByNode[a.Spec.NodeName], *pv)
			}
		}
	}
	return v.attachedByNode[node]
}
