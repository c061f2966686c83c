package scale_test

import (
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/sim"
)

// What follows are objects with all that an API server holds of such ones but the managed fields.

// hex is an identifier that looks like a digest.
func hex(n int) string { return fmt.Sprintf("%064x", uint64(n)*0x9e3779b97f4a7c15) }

// offering of the i-th node: machines of 16 cpus, half of them spot.
func offering(i int) cloudprovider.Offering {
	return cloudprovider.Offering{
		InstanceType: "general-16", Zone: sim.Zones[i%len(sim.Zones)],
		CapacityType: []string{cloudprovider.OnDemand, cloudprovider.Spot}[i/2%2],
	}
}

// nodeLabels are about as many as a node of EC2 has.
func nodeLabels(pool, name string, o cloudprovider.Offering) map[string]string {
	labels := map[string]string{
		v1.LabelNodePool: pool, v1.LabelCapacityType: o.CapacityType, v1.LabelRegistered: "true", v1.LabelInitialized: "true",
		corev1.LabelArchStable: "amd64", corev1.LabelOSStable: "linux", corev1.LabelHostname: name,
		corev1.LabelTopologyRegion: "region-1", corev1.LabelTopologyZone: o.Zone, corev1.LabelInstanceTypeStable: o.InstanceType,
	}
	for _, property := range strings.Fields("category cpu cpu-manufacturer cpu-sustained-clock-speed-mhz ebs-bandwidth encryption-in-transit-supported family generation hypervisor memory network-bandwidth size") {
		labels["karpenter.k8s.aws/instance-"+property] = "value-of-" + property
	}
	return labels
}

// claim is the NodeClaim of a node that has been there for a while.
func claim(pool *v1.NodePool, name string, o cloudprovider.Offering) *v1.NodeClaim {
	c := sim.NodeClaim(pool, name, offering(0), offering(1), offering(2), offering(3))
	for k, v := range nodeLabels(pool.Name, "", o) {
		if k != corev1.LabelHostname {
			c.Labels[k] = v
		}
	}
	c.Finalizers = []string{v1.FinalizerTermination}
	for _, key := range []string{corev1.LabelArchStable, corev1.LabelOSStable, v1.LabelCapacityType, corev1.LabelInstanceTypeStable, corev1.LabelTopologyZone, v1.LabelNodePool} {
		c.Spec.Requirements = append(c.Spec.Requirements, v1.Requirement{Key: key, Operator: corev1.NodeSelectorOpIn, Values: []string{c.Labels[key]}})
	}
	c.Spec.Resources.Requests = resources("9", "40Gi")
	c.Status.Capacity, c.Status.Allocatable = room("16", "64Gi"), room("15900m", "63Gi")
	c.Status.ImageID, c.Status.NodeName = "image-1", nodeName(name)
	for _, kind := range []string{v1.ConditionLaunched, v1.ConditionRegistered, v1.ConditionInitialized, v1.ConditionReady, v1.ConditionConsolidatable} {
		v1.SetCondition(&c.Status.Conditions, metav1.Condition{Type: kind, Status: metav1.ConditionTrue, ObservedGeneration: 1}, sim.Start.Add(-time.Hour))
	}
	c.Status.LastPodEventTime = metav1.NewTime(sim.Start.Add(-time.Hour))
	return c
}

func nodeName(claim string) string { return "ip-10-0-" + claim + ".region-1.compute.internal" }

// node is the Node of a NodeClaim, with the images that kubelet lists.
func node(c *v1.NodeClaim, o cloudprovider.Offering) *corev1.Node {
	n := &corev1.Node{}
	n.Name, n.Finalizers = c.Status.NodeName, []string{v1.FinalizerTermination}
	n.Labels = nodeLabels(c.Labels[v1.LabelNodePool], n.Name, o)
	n.Annotations = map[string]string{
		"node.alpha.kubernetes.io/ttl": "0", "volumes.kubernetes.io/controller-managed-attach-detach": "true",
		v1.AnnotationNodePoolHash: c.Annotations[v1.AnnotationNodePoolHash], v1.AnnotationNodePoolHashVersion: v1.NodePoolHashVersion,
	}
	block := true
	n.OwnerReferences = []metav1.OwnerReference{{APIVersion: v1.GroupVersion.String(), Kind: "NodeClaim", Name: c.Name, UID: c.UID, BlockOwnerDeletion: &block}}
	n.Spec.ProviderID = c.Status.ProviderID
	n.Status.Capacity, n.Status.Allocatable = c.Status.Capacity, c.Status.Allocatable
	n.Status.NodeInfo = corev1.NodeSystemInfo{MachineID: hex(1)[:32], SystemUUID: hex(2)[:32], BootID: hex(3)[:32], KernelVersion: "6.1.0-amd64",
		OSImage: "Linux 2023", ContainerRuntimeVersion: "containerd://2.1.4", KubeletVersion: "v1.36.3", OperatingSystem: "linux", Architecture: "amd64"}
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.0.0.1"}, {Type: corev1.NodeInternalDNS, Address: n.Name}, {Type: corev1.NodeHostName, Address: n.Name}}
	for _, kind := range []corev1.NodeConditionType{corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure, corev1.NodeReady} {
		status := corev1.ConditionFalse
		if kind == corev1.NodeReady {
			status = corev1.ConditionTrue
		}
		n.Status.Conditions = append(n.Status.Conditions, corev1.NodeCondition{Type: kind, Status: status, Reason: "KubeletSaysSo", Message: "kubelet has sufficient of everything that it needs",
			LastHeartbeatTime: metav1.NewTime(sim.Start), LastTransitionTime: metav1.NewTime(sim.Start.Add(-time.Hour))})
	}
	for i := range 50 {
		n.Status.Images = append(n.Status.Images, corev1.ContainerImage{SizeBytes: int64(i) << 20, Names: []string{
			fmt.Sprintf("registry.example.com/team-%02d/service@sha256:%s", i, hex(i)), fmt.Sprintf("registry.example.com/team-%02d/service:v1.%d.0", i, i),
		}})
	}
	return n
}

func resources(cpu, memory string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
}

// room is what a node has.
func room(cpu, memory string) corev1.ResourceList {
	list := resources(cpu, memory)
	list[corev1.ResourcePods], list[corev1.ResourceEphemeralStorage] = resource.MustParse("110"), resource.MustParse("20Gi")
	return list
}

// pod is one of an owner, not bound yet: a container that serves, and one beside it.
func pod(name string, owner metav1.OwnerReference, cpu string) *corev1.Pod {
	p := &corev1.Pod{}
	p.Namespace, p.Name = "team-"+owner.Name[len(owner.Name)-2:], name
	p.OwnerReferences = []metav1.OwnerReference{owner}
	p.Labels = map[string]string{"app.kubernetes.io/name": owner.Name, "app.kubernetes.io/instance": owner.Name + "-prod", "app.kubernetes.io/version": "1.25.3",
		"app.kubernetes.io/managed-by": "helm", "pod-template-hash": "5d9c7b6f4", "team": p.Namespace}
	p.Annotations = map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "9090", "checksum/config": hex(7), "kubectl.kubernetes.io/restartedAt": "2026-03-01T08:00:00Z"}
	grace, priority, seconds := int64(30), int32(0), int64(300)
	p.Spec = corev1.PodSpec{
		ServiceAccountName: owner.Name, SchedulerName: corev1.DefaultSchedulerName, RestartPolicy: corev1.RestartPolicyAlways, DNSPolicy: corev1.DNSClusterFirst,
		TerminationGracePeriodSeconds: &grace, Priority: &priority, SecurityContext: &corev1.PodSecurityContext{},
		Tolerations: []corev1.Toleration{
			{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds},
			{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds},
		},
		Volumes: []corev1.Volume{
			{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: owner.Name}}}},
			{Name: "kube-api-access-x7k2p", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}},
				{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}, Items: []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}}}},
			}}}},
		},
		Containers: []corev1.Container{container("main", cpu, "1Gi", 12), container("proxy", "50m", "64Mi", 6)},
	}
	p.Status.Phase, p.Status.QOSClass = corev1.PodPending, corev1.PodQOSBurstable
	return p
}

func container(name, cpu, memory string, variables int) corev1.Container {
	probe := &corev1.Probe{PeriodSeconds: 10, TimeoutSeconds: 1, SuccessThreshold: 1, FailureThreshold: 3,
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(8080), Scheme: corev1.URISchemeHTTP}}}
	c := corev1.Container{
		Name: name, Image: "registry.example.com/team/" + name + ":v1.25.3", ImagePullPolicy: corev1.PullIfNotPresent, Args: []string{"--config=/etc/config/config.yaml", "--verbose=2"},
		Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}}, LivenessProbe: probe, ReadinessProbe: probe.DeepCopy(),
		Resources:              corev1.ResourceRequirements{Requests: resources(cpu, memory), Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memory)}},
		VolumeMounts:           []corev1.VolumeMount{{Name: "config", MountPath: "/etc/config"}, {Name: "kube-api-access-x7k2p", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true}},
		TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: corev1.TerminationMessageReadFile, SecurityContext: &corev1.SecurityContext{},
	}
	for i := range variables {
		c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprintf("SERVICE_SETTING_%02d", i), Value: "value-of-setting-" + fmt.Sprint(i)})
	}
	return c
}

// bind puts a pod on a node.
func bind(p *corev1.Pod, node string, at time.Time) {
	p.Spec.NodeName, p.Status.NominatedNodeName = node, ""
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(at.Truncate(time.Second))}}
}

// run lets a bound pod run.
func run(p *corev1.Pod, at time.Time) {
	now := metav1.NewTime(at.Truncate(time.Second))
	p.Status.Phase, p.Status.StartTime = corev1.PodRunning, &now
	p.Status.HostIP, p.Status.PodIP, p.Status.PodIPs = "10.0.0.1", "10.1.2.3", []corev1.PodIP{{IP: "10.1.2.3"}}
	p.Status.HostIPs = []corev1.HostIP{{IP: "10.0.0.1"}}
	for _, kind := range []corev1.PodConditionType{corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.PodReady, corev1.ContainersReady} {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	yes := true
	for i := range p.Spec.Containers {
		resources := &p.Spec.Containers[i].Resources
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: p.Spec.Containers[i].Name, Image: p.Spec.Containers[i].Image, Ready: true, Started: &yes, ImageID: "registry.example.com/team/service@sha256:" + hex(i), ContainerID: "containerd://" + hex(i+9),
			State:     corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
			Resources: resources, AllocatedResources: resources.Requests,
		})
	}
}

func ownedBy(kind, name string) metav1.OwnerReference {
	yes := true
	version := "apps/v1"
	if kind == "Job" {
		version = "batch/v1"
	}
	return metav1.OwnerReference{APIVersion: version, Kind: kind, Name: name, UID: types.UID(kind + "-" + name), Controller: &yes, BlockOwnerDeletion: &yes}
}

// daemonSet is one whose pods are on every node.
func daemonSet(name string) *appsv1.DaemonSet {
	ds := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "team-" + name[len(name)-2:], Name: name}}
	p := pod("", ownedBy("DaemonSet", name), "100m")
	ds.Spec.Template = corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: p.Labels}, Spec: p.Spec}
	return ds
}
