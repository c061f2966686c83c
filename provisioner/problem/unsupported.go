package problem

import (
	"fmt"
	"slices"

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
	for i := range spec.InitContainers {
		if j := hostPort(spec, &spec.InitContainers[i]); j >= 0 && spec.InitContainers[i].RestartPolicy != nil {
			return fmt.Sprintf("spec.initContainers[%d].ports[%d].hostPort", i, j)
		}
	}
	for i := range spec.Containers {
		if j := hostPort(spec, &spec.Containers[i]); j >= 0 {
			return fmt.Sprintf("spec.containers[%d].ports[%d].hostPort", i, j)
		}
	}
	return ""
}

// hostPort returns the first port of a container that is one of its host's, or
// -1. On the host's network every port is: the API server sets their hostPort, but
// a pod that is planned for offline has not been there.
func hostPort(spec *corev1.PodSpec, c *corev1.Container) int {
	return slices.IndexFunc(c.Ports, func(p corev1.ContainerPort) bool {
		return p.HostPort > 0 || spec.HostNetwork && p.ContainerPort > 0
	})
}

// unsupportedVolume names the kind of a volume that decides where a pod can go.
func unsupportedVolume(v *corev1.Volume) string {
	switch {
	case v.PersistentVolumeClaim != nil:
		return "persistentVolumeClaim"
	case v.Ephemeral != nil:
		return "ephemeral"
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
