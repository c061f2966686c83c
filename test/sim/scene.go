package sim

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/stowage-sh/stowage/cloudprovider"
	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// NodeClass describes the NodeClass that NodePool and NodeClaim refer to. No
// controller looks at it here: it is ready because it says so.
func NodeClass() *awsv1.EC2NodeClass {
	class := &awsv1.EC2NodeClass{ObjectMeta: metav1.ObjectMeta{Name: "default", Generation: 1}}
	class.SetReady(nil, Start)
	return class
}

func classReference() v1.NodeClassReference {
	return v1.NodeClassReference{Group: awsv1.Group, Kind: awsv1.Kind, Name: "default"}
}

// NodePool describes a NodePool without requirements. Its budget is one that
// never holds anything back.
func NodePool(name string) *v1.NodePool {
	pool := &v1.NodePool{ObjectMeta: metav1.ObjectMeta{Name: name}}
	pool.Spec.Template.Spec.NodeClassRef = classReference()
	pool.Spec.Template.Spec.Requirements = []v1.Requirement{}
	pool.Spec.Disruption.Budgets = []v1.Budget{{Nodes: "100%"}}
	return pool
}

// NodeClaim describes a NodeClaim as provision makes it: of a pool, which owns
// it, and for a list of offerings. Without offerings, its requirements decide.
func NodeClaim(pool *v1.NodePool, name string, offerings ...cloudprovider.Offering) *v1.NodeClaim {
	yes := true
	claim := &v1.NodeClaim{ObjectMeta: metav1.ObjectMeta{
		Name:   name,
		Labels: map[string]string{v1.LabelNodePool: pool.Name},
		Annotations: map[string]string{
			v1.AnnotationNodePoolHash: pool.Hash(), v1.AnnotationNodePoolHashVersion: v1.NodePoolHashVersion,
		},
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: v1.GroupVersion.String(), Kind: "NodePool", Name: pool.Name, UID: pool.UID, BlockOwnerDeletion: &yes,
		}},
	}}
	claim.Spec.NodeClassRef = classReference()
	claim.Spec.Requirements = []v1.Requirement{}
	claim.Spec.Taints = pool.Spec.Template.Spec.Taints
	claim.Spec.StartupTaints = pool.Spec.Template.Spec.StartupTaints
	claim.Spec.TerminationGracePeriod = pool.Spec.Template.Spec.TerminationGracePeriod
	if len(offerings) > 0 {
		var list []string
		for _, o := range offerings {
			list = append(list, o.String())
		}
		claim.Annotations[v1.AnnotationOfferings] = strings.Join(list, ",")
	}
	return claim
}

// Pod describes a pod of one container with these requests.
func Pod(name, cpu, memory string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "main", Image: "image",
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory),
			}},
		}}},
	}
}

// DaemonPod describes a DaemonSet's pod for a node.
func DaemonPod(name, node string) *corev1.Pod {
	pod := Pod(name, "10m", "16Mi")
	yes := true
	pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "DaemonSet", Name: name, UID: "ds-1", Controller: &yes}}
	pod.Spec.NodeName = node
	return pod
}

// Budget describes a PodDisruptionBudget for the pods with label app.
func Budget(app string, minAvailable int) *policyv1.PodDisruptionBudget {
	least := intstr.FromInt32(int32(minAvailable))
	return &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: app},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MinAvailable: &least, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}},
		},
	}
}
