package manifest

import (
	"reflect"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/provisioner/v1alpha1"
	"github.com/stowage-sh/stowage/provisioner/v1beta1"
)

// A kind is what has to be known of one to read its objects.
type kind struct {
	// version that is read: objects of another are refused, not guessed at.
	version string
	// namespaced kinds without a namespace are in "default", as kubectl has it.
	namespaced bool
	// ours are kinds whose fields must all be understood, wherever the object
	// comes from.
	ours bool
	// make returns an empty object.
	make func() client.Object
}

// kinds that are read.
var kinds = map[schema.GroupKind]kind{
	{Kind: "Pod"}:                   {"v1", true, false, func() client.Object { return &corev1.Pod{} }},
	{Kind: "Node"}:                  {"v1", false, false, func() client.Object { return &corev1.Node{} }},
	{Kind: "Namespace"}:             {"v1", false, false, func() client.Object { return &corev1.Namespace{} }},
	{Kind: "Service"}:               {"v1", true, false, func() client.Object { return &corev1.Service{} }},
	{Kind: "ReplicationController"}: {"v1", true, false, func() client.Object { return &corev1.ReplicationController{} }},
	{Kind: "PodTemplate"}:           {"v1", true, false, func() client.Object { return &corev1.PodTemplate{} }},
	{Kind: "PersistentVolumeClaim"}: {"v1", true, false, func() client.Object { return &corev1.PersistentVolumeClaim{} }},
	{Kind: "PersistentVolume"}:      {"v1", false, false, func() client.Object { return &corev1.PersistentVolume{} }},

	{Group: "apps", Kind: "Deployment"}:                 {"v1", true, false, func() client.Object { return &appsv1.Deployment{} }},
	{Group: "apps", Kind: "StatefulSet"}:                {"v1", true, false, func() client.Object { return &appsv1.StatefulSet{} }},
	{Group: "apps", Kind: "ReplicaSet"}:                 {"v1", true, false, func() client.Object { return &appsv1.ReplicaSet{} }},
	{Group: "apps", Kind: "DaemonSet"}:                  {"v1", true, false, func() client.Object { return &appsv1.DaemonSet{} }},
	{Group: "batch", Kind: "Job"}:                       {"v1", true, false, func() client.Object { return &batchv1.Job{} }},
	{Group: "node.k8s.io", Kind: "RuntimeClass"}:        {"v1", false, false, func() client.Object { return &nodev1.RuntimeClass{} }},
	{Group: "policy", Kind: "PodDisruptionBudget"}:      {"v1", true, false, func() client.Object { return &policyv1.PodDisruptionBudget{} }},
	{Group: "scheduling.k8s.io", Kind: "PriorityClass"}: {"v1", false, false, func() client.Object { return &schedulingv1.PriorityClass{} }},
	{Group: "storage.k8s.io", Kind: "StorageClass"}:     {"v1", false, false, func() client.Object { return &storagev1.StorageClass{} }},
	{Group: "storage.k8s.io", Kind: "CSINode"}:          {"v1", false, false, func() client.Object { return &storagev1.CSINode{} }},
	{Group: "storage.k8s.io", Kind: "CSIDriver"}:        {"v1", false, false, func() client.Object { return &storagev1.CSIDriver{} }},
	{Group: "storage.k8s.io", Kind: "VolumeAttachment"}: {"v1", false, false, func() client.Object { return &storagev1.VolumeAttachment{} }},
	{Group: v1.Group, Kind: "NodePool"}:                 {"v1", false, true, func() client.Object { return &v1.NodePool{} }},
	{Group: v1.Group, Kind: "NodeClaim"}:                {"v1", false, true, func() client.Object { return &v1.NodeClaim{} }},
	{Group: v1.Group, Kind: "NodeOverlay"}:              {"v1alpha1", false, true, func() client.Object { return &v1alpha1.NodeOverlay{} }},
	{Group: awsv1.Group, Kind: awsv1.Kind}:              {"v1", false, true, func() client.Object { return &awsv1.EC2NodeClass{} }},

	{Group: v1beta1.GroupVersion.Group, Kind: "CapacityBuffer"}: {"v1beta1", true, true, func() client.Object { return &v1beta1.CapacityBuffer{} }},
}

// kindNames says which kind a Go type is.
var kindNames = func() map[reflect.Type]string {
	names := map[reflect.Type]string{}
	for gk, k := range kinds {
		names[reflect.TypeOf(k.make())] = gk.Kind
	}
	return names
}()
