// Package v1 holds the API type of group karpenter.k8s.aws, version v1:
// EC2NodeClass, the half of a node's description that only EC2 understands. It
// is wire-compatible with Karpenter's.
//
// The package is values and pure functions over them. It holds no Kubernetes or
// AWS client and reads no clock; what the selectors of a NodeClass find in an
// account is written to its status by cloudprovider/aws/nodeclass.
//
// Markers on the fields are the source of the CRD in charts/stowage/crds; after
// an edit here run
//
//	go generate ./cloudprovider/aws/v1 ./charts
//
// +kubebuilder:object:generate=true
// +groupName=karpenter.k8s.aws
package v1

//go:generate go tool controller-gen object paths=.
