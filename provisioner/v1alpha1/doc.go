// Package v1alpha1 holds the API types of group karpenter.sh, version v1alpha1:
// NodeOverlay, which says that offerings cost something else than the cloud says,
// or that their nodes have more than the cloud knows of. Like those of package v1
// they are wire-compatible with Karpenter's.
//
// The package is values. What an overlay means to a decision is package problem's.
//
// Markers on the fields are the source of the CRDs in charts/stowage/crds;
// after an edit here run
//
//	go generate ./provisioner/v1alpha1 ./charts
//
// +kubebuilder:object:generate=true
// +groupName=karpenter.sh
package v1alpha1

//go:generate go tool controller-gen object paths=.
