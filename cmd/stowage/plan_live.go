package main

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/provisioner/v1alpha1"
	"github.com/stowage-sh/stowage/provisioner/v1beta1"
)

// planned are the kinds that a plan depends on.
func planned() []client.ObjectList {
	return []client.ObjectList{
		&corev1.PodList{}, &corev1.NodeList{}, &corev1.NamespaceList{}, &appsv1.DaemonSetList{}, &policyv1.PodDisruptionBudgetList{}, &schedulingv1.PriorityClassList{},
		&nodev1.RuntimeClassList{}, &corev1.PersistentVolumeClaimList{}, &corev1.PersistentVolumeList{}, &storagev1.StorageClassList{},
		&storagev1.CSIDriverList{}, &storagev1.CSINodeList{}, &storagev1.VolumeAttachmentList{}, &v1.NodePoolList{}, &v1.NodeClaimList{},
		&v1alpha1.NodeOverlayList{}, &v1beta1.CapacityBufferList{}, &awsv1.EC2NodeClassList{},
	}
}

// selected are the kinds that say which pods belong together, where pods are spread that do not
// say it themselves.
func selected() []client.ObjectList {
	return []client.ObjectList{&corev1.ServiceList{}, &corev1.ReplicationControllerList{}, &appsv1.ReplicaSetList{}, &appsv1.StatefulSetList{}}
}

// referred are the kinds that say how much room CapacityBuffers ask for.
func referred() []client.ObjectList {
	return []client.ObjectList{&corev1.PodTemplateList{}, &corev1.ResourceQuotaList{}, &appsv1.DeploymentList{}, &appsv1.ReplicaSetList{}, &appsv1.StatefulSetList{}}
}

// openCluster returns a client for a running cluster, and the cluster's version of Kubernetes.
func openCluster(ctx context.Context, kubeconfig string) (client.Reader, *kubeVersion, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, nil, usageError(fmt.Errorf("reading the kubeconfig %s: %w", kubeconfig, err))
	}
	config.WarningHandler = rest.NoWarnings{} // about deprecated kinds: not our user's to mend
	config.UserAgent = "stowage-plan/" + version
	kube, err := newKubeVersion(ctx, config, "")
	if err != nil {
		return nil, nil, err
	}
	reader, err := newLister(config)
	return reader, kube, err
}

// listAll lists all objects of some kinds. It only lists. A cluster that does not serve our
// kinds yet has none of them.
func listAll(ctx context.Context, reader client.Reader, kinds []client.ObjectList) ([]client.Object, error) {
	var all []client.Object
	for _, l := range kinds {
		err := reader.List(ctx, l)
		if apierrors.IsNotFound(err) { // the whole kind: a list itself is always found
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("listing the cluster's objects of kind %s: %w", kindOf(l), err)
		}
		err = meta.EachListItem(l, func(o runtime.Object) error {
			all = append(all, o.(client.Object))
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("listing the cluster's objects of kind %s: %w", kindOf(l), err)
		}
	}
	return all, nil
}

// kindOf names the kind of the items of a list.
func kindOf(l client.ObjectList) string {
	return strings.TrimSuffix(reflect.TypeOf(l).Elem().Name(), "List")
}

// newLister returns a client for the kinds of planned, selected and referred. It knows their paths,
// and does not ask the server for them.
func newLister(config *rest.Config) (client.Reader, error) {
	known, err := scheme()
	if err != nil {
		return nil, err
	}
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, k := range []struct {
		version schema.GroupVersion
		kind    string
		scope   meta.RESTScope
	}{
		{corev1.SchemeGroupVersion, "Pod", meta.RESTScopeNamespace},
		{corev1.SchemeGroupVersion, "Node", meta.RESTScopeRoot},
		{corev1.SchemeGroupVersion, "Namespace", meta.RESTScopeRoot},
		{appsv1.SchemeGroupVersion, "DaemonSet", meta.RESTScopeNamespace},
		{corev1.SchemeGroupVersion, "Service", meta.RESTScopeNamespace},
		{corev1.SchemeGroupVersion, "ReplicationController", meta.RESTScopeNamespace},
		{appsv1.SchemeGroupVersion, "Deployment", meta.RESTScopeNamespace},
		{corev1.SchemeGroupVersion, "PodTemplate", meta.RESTScopeNamespace},
		{corev1.SchemeGroupVersion, "ResourceQuota", meta.RESTScopeNamespace},
		{v1beta1.GroupVersion, "CapacityBuffer", meta.RESTScopeNamespace},
		{appsv1.SchemeGroupVersion, "ReplicaSet", meta.RESTScopeNamespace},
		{appsv1.SchemeGroupVersion, "StatefulSet", meta.RESTScopeNamespace},
		{policyv1.SchemeGroupVersion, "PodDisruptionBudget", meta.RESTScopeNamespace},
		{schedulingv1.SchemeGroupVersion, "PriorityClass", meta.RESTScopeRoot},
		{nodev1.SchemeGroupVersion, "RuntimeClass", meta.RESTScopeRoot},
		{corev1.SchemeGroupVersion, "PersistentVolumeClaim", meta.RESTScopeNamespace},
		{corev1.SchemeGroupVersion, "PersistentVolume", meta.RESTScopeRoot},
		{storagev1.SchemeGroupVersion, "StorageClass", meta.RESTScopeRoot},
		{storagev1.SchemeGroupVersion, "CSIDriver", meta.RESTScopeRoot},
		{storagev1.SchemeGroupVersion, "CSINode", meta.RESTScopeRoot},
		{storagev1.SchemeGroupVersion, "VolumeAttachment", meta.RESTScopeRoot},
		{v1.GroupVersion, "NodePool", meta.RESTScopeRoot},
		{v1.GroupVersion, "NodeClaim", meta.RESTScopeRoot},
		{awsv1.GroupVersion, awsv1.Kind, meta.RESTScopeRoot},
	} {
		mapper.Add(k.version.WithKind(k.kind), k.scope)
	}
	// Add would look for "nodeoverlaies".
	overlays := v1alpha1.GroupVersion
	mapper.AddSpecific(overlays.WithKind("NodeOverlay"), overlays.WithResource("nodeoverlays"), overlays.WithResource("nodeoverlay"), meta.RESTScopeRoot)
	reader, err := client.New(config, client.Options{Scheme: known, Mapper: mapper})
	if err != nil {
		return nil, fmt.Errorf("making a client for the cluster: %w", err)
	}
	return reader, nil
}
