// Package v1beta1 holds the API type of group autoscaling.x-k8s.io that Stowage serves:
// CapacityBuffer, which asks for room that is kept free for pods to come. It is wire-compatible
// with that of SIG Autoscaling, as Karpenter has it.
//
// The package is values. How much room a buffer asks for is package headroom's to say.
//
// Markers on the fields are the source of the CRDs in charts/stowage/crds;
// after an edit here run
//
//	go generate ./provisioner/v1beta1 ./charts
//
// +kubebuilder:object:generate=true
// +groupName=autoscaling.x-k8s.io
package v1beta1

//go:generate go tool controller-gen object paths=.
