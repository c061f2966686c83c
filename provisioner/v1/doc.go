// Package v1 holds the API types of group karpenter.sh, version v1: NodePool,
// which says what nodes may be bought, and NodeClaim, which is one node from the
// decision to buy it until its machine is gone. They are wire-compatible with
// Karpenter's, so that manifests, charts and dashboards written for it keep
// their meaning.
//
// The package is values and pure functions over them. It holds no client, reads
// no clock (what needs the time takes it as an argument), and knows no cloud:
// rules about one cloud's labels enter the CRDs in charts/crdgen.
//
// Markers on the fields are the source of the CRDs in charts/stowage/crds;
// after an edit here run
//
//	go generate ./provisioner/v1 ./charts
//
// +kubebuilder:object:generate=true
// +groupName=karpenter.sh
package v1

//go:generate go tool controller-gen object paths=.
