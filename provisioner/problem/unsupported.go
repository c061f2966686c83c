package problem

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// unsupportedField names the first field by which a pod asks for something that
// is not understood yet, or "".
func unsupportedField(p *corev1.Pod) string {
	spec := &p.Spec
	if len(spec.ResourceClaims) > 0 {
		return "spec.resourceClaims"
	}
	if spec.SchedulingGroup != nil {
		return "spec.schedulingGroup"
	}
	for i := range spec.Volumes {
		if field := unsupportedVolume(&spec.Volumes[i]); field != "" {
			return fmt.Sprintf("spec.volumes[%d].%s", i, field)
		}
	}
	return ""
}

// unsupportedVolume names the kind of a volume that decides where a pod can go, and is
// not one of a claim.
func unsupportedVolume(v *corev1.Volume) string {
	switch {
	case v.AWSElasticBlockStore != nil:
		return "awsElasticBlockStore"
	case v.GCEPersistentDisk != nil:
		return "gcePersistentDisk"
	case v.ISCSI != nil:
		return "iscsi"
	case v.RBD != nil:
		return "rbd"
	}
	return ""
}
