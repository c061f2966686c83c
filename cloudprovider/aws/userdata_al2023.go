package aws

import (
	"fmt"

	"sigs.k8s.io/yaml"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// al2023 is a MIME archive of the user's parts and our NodeConfig. Ours comes
// last: where two parts set the same thing, nodeadm takes the later one.
func (b bootstrap) al2023() (string, error) {
	parts, err := userParts(b.spec.UserData)
	if err != nil {
		return "", badUserData("%w", err)
	}
	config, err := b.nodeConfig()
	if err != nil {
		return "", err
	}
	return archive(append(parts, part{contentType: nodeConfigType, body: config})), nil
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
