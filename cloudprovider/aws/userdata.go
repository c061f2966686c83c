package aws

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// MaxUserDataBytes is the most that EC2 takes, before base64.
const MaxUserDataBytes = 16384

// A bootstrap is everything that a node's user data depends on.
type bootstrap struct {
	cluster Cluster
	spec    *v1.EC2NodeClassSpec
	labels  map[string]string
	taints  []cloudprovider.Taint
	// maxPods for kubelet: the catalog's number of pods, which takes the spec's
	// maxPods and podsPerCore into account; 0 leaves the spec's as it is.
	maxPods int64
}

// userData returns the user data of a node, not yet in base64. It is a function
// of b: the same nodes share one launch template.
func (b bootstrap) userData() (string, error) {
	var data string
	switch family := b.spec.Family(); family {
	case v1.AMIFamilyCustom:
		data = b.spec.UserData
	case v1.AMIFamilyAL2023:
		parts, err := userParts(b.spec.UserData)
		if err != nil {
			return "", fmt.Errorf("reading spec.userData: %w", err)
		}
		config, err := b.nodeConfig()
		if err != nil {
			return "", err
		}
		// Ours comes last: where two parts set the same thing, nodeadm takes the
		// later one.
		data = archive(append(parts, part{contentType: nodeConfigType, body: config}))
	default:
		return "", fmt.Errorf("writing user data: image family %q is not understood", family)
	}
	if len(data) > MaxUserDataBytes {
		return "", fmt.Errorf("writing user data: it has %d bytes, EC2 takes %d", len(data), MaxUserDataBytes)
	}
	return data, nil
}

// CheckUserData reports whether nodes of a class can be given user data: it can
// be read, merged and is not too long. Labels and taints of a NodePool come on
// top of it.
func CheckUserData(cluster Cluster, spec *v1.EC2NodeClassSpec) error {
	_, err := bootstrap{cluster: cluster, spec: spec}.userData()
	return err
}

// nodeConfig returns the document that nodeadm reads on Amazon Linux 2023.
// kubeReserved is not in it unless the user says so: nodeadm computes the same
// formula as the catalog, and kubelet merges the user's keys over it.
func (b bootstrap) nodeConfig() (string, error) {
	kubelet := map[string]any{}
	for key, value := range b.spec.Kubelet {
		kubelet[key] = value
	}
	if b.maxPods > 0 {
		kubelet["maxPods"] = b.maxPods
	}
	if len(b.taints) > 0 {
		kubelet["registerWithTaints"] = registered(b.taints)
	}
	spec := map[string]any{
		"cluster": map[string]any{
			"name":                 b.cluster.Name,
			"apiServerEndpoint":    b.cluster.Endpoint,
			"certificateAuthority": b.cluster.CABundle,
			"cidr":                 b.cluster.ServiceCIDR,
		},
	}
	node := map[string]any{}
	if len(kubelet) > 0 {
		node["config"] = kubelet
	}
	if labels := nodeLabels(b.labels); labels != "" {
		node["flags"] = []string{"--node-labels=" + labels}
	}
	if len(node) > 0 {
		spec["kubelet"] = node
	}
	if b.spec.InstanceStorePolicy == v1.InstanceStoreRAID0 {
		spec["instance"] = map[string]any{"localStorage": map[string]any{"strategy": "RAID0"}}
	}
	out, err := yaml.Marshal(map[string]any{
		"apiVersion": "node.eks.aws/v1alpha1", "kind": "NodeConfig", "metadata": map[string]any{}, "spec": spec,
	})
	if err != nil {
		return "", fmt.Errorf("writing the NodeConfig: %w", err)
	}
	return string(out), nil
}

// registered converts taints to kubelet's registerWithTaints.
func registered(taints []cloudprovider.Taint) []map[string]string {
	out := make([]map[string]string, 0, len(taints))
	for _, t := range taints {
		m := map[string]string{"key": t.Key, "effect": t.Effect}
		if t.Value != "" {
			m["value"] = t.Value
		}
		out = append(out, m)
	}
	return out
}

// nodeLabels writes labels as kubelet's --node-labels, sorted by key. It leaves
// out those that kubelet refuses to set on itself, since with one of them it
// does not start; they reach the node when it is registered.
func nodeLabels(labels map[string]string) string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if kubeletMaySet(key) {
			out = append(out, key+"="+labels[key])
		}
	}
	return strings.Join(out, ",")
}

// kubeletLabels are the labels of Kubernetes' own domains that a kubelet may set
// on its node.
var kubeletLabels = map[string]bool{
	"kubernetes.io/hostname": true, "kubernetes.io/arch": true, "kubernetes.io/os": true,
	"beta.kubernetes.io/arch": true, "beta.kubernetes.io/os": true, "beta.kubernetes.io/instance-type": true,
	"node.kubernetes.io/instance-type": true, "topology.kubernetes.io/zone": true, "topology.kubernetes.io/region": true,
	"failure-domain.beta.kubernetes.io/zone": true, "failure-domain.beta.kubernetes.io/region": true,
}

// kubeletMaySet reports whether a kubelet starts with this key in --node-labels:
// outside of kubernetes.io and k8s.io any, inside a few keys and two domains.
func kubeletMaySet(key string) bool {
	domain, _, found := strings.Cut(key, "/")
	if !found || kubeletLabels[key] || !within(domain, "kubernetes.io") && !within(domain, "k8s.io") {
		return true
	}
	return within(domain, "kubelet.kubernetes.io") || within(domain, "node.kubernetes.io")
}

// within reports whether domain is parent or below it.
func within(domain, parent string) bool {
	return domain == parent || strings.HasSuffix(domain, "."+parent)
}
