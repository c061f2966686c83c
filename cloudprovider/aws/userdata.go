package aws

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// MaxUserDataBytes is the most that EC2 takes, before base64.
const MaxUserDataBytes = 16384

// A UserDataSizeError says that EC2 would not take user data of so many bytes.
type UserDataSizeError struct{ Bytes int }

// Error names both sizes.
func (e *UserDataSizeError) Error() string {
	return fmt.Sprintf("writing user data: it has %d bytes, EC2 takes %d", e.Bytes, MaxUserDataBytes)
}

// A bootstrap is everything that a node's user data depends on.
type bootstrap struct {
	cluster Cluster
	spec    *v1.EC2NodeClassSpec
	// image is the name of the node's image; "" if it is not known.
	image  string
	labels map[string]string
	taints []cloudprovider.Taint
	// maxPods for kubelet: the catalog's number of pods, which takes the spec's
	// maxPods and podsPerCore into account; 0 leaves the spec's as it is.
	maxPods int64
}

// userData returns the user data of a node, not yet in base64. It is a function
// of b: the same nodes share one launch template.
func (b bootstrap) userData() (string, error) {
	data, err := b.ofFamily()
	if err != nil {
		return "", err
	}
	if len(data) > MaxUserDataBytes {
		return "", &UserDataSizeError{len(data)}
	}
	return data, nil
}

// ofFamily writes user data for what the image runs at its first boot.
func (b bootstrap) ofFamily() (string, error) {
	switch family := b.spec.Family(); family {
	case v1.AMIFamilyCustom:
		return b.spec.UserData, nil
	case v1.AMIFamilyAL2:
		return b.al2()
	case v1.AMIFamilyAL2023:
		return b.al2023()
	case v1.AMIFamilyBottlerocket:
		return b.bottlerocket()
	case v1.AMIFamilyWindows2019, v1.AMIFamilyWindows2022, v1.AMIFamilyWindows2025:
		return b.windows()
	default:
		return "", fmt.Errorf("writing user data: image family %q is not understood", family)
	}
}

// CheckUserData reports whether nodes of a class can be given user data: it can
// be read, merged and is not too long, which is a *UserDataSizeError. It looks at
// nodes with one label and one taint; those of a NodePool come on top of it.
func CheckUserData(cluster Cluster, spec *v1.EC2NodeClassSpec) error {
	_, err := bootstrap{
		cluster: cluster, spec: spec, labels: map[string]string{labelDoNotSyncTaints: "true"},
		taints: []cloudprovider.Taint{{Key: taintUnregistered, Effect: "NoExecute"}},
	}.userData()
	return err
}

// badUserData is the error of user data that cannot be read or merged.
func badUserData(format string, args ...any) error {
	return fmt.Errorf("reading spec.userData: "+format, args...)
}

// dns is the address of the cluster's DNS server: that of the spec, else the tenth
// of the service range, where EKS has it; "" if neither is known.
func (b bootstrap) dns() string {
	if servers, err := kubeletFlags["clusterDNS"].read("clusterDNS", b.spec.Kubelet["clusterDNS"].Raw); err == nil {
		if list, ok := servers.([]string); ok && len(list) > 0 {
			return list[0]
		}
	}
	prefix, err := netip.ParsePrefix(b.cluster.ServiceCIDR)
	if err != nil {
		return ""
	}
	address := prefix.Masked().Addr().AsSlice()
	address[len(address)-1] |= 10
	tenth, _ := netip.AddrFromSlice(address)
	return tenth.String()
}

// nodeLabels writes labels as kubelet's --node-labels, sorted by key.
func nodeLabels(labels map[string]string) string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(ownLabels(labels))) {
		out = append(out, key+"="+labels[key])
	}
	return strings.Join(out, ",")
}

// ownLabels leaves out the labels that kubelet refuses to set on itself, since with
// one of them it does not start; they reach the node when it is registered.
func ownLabels(labels map[string]string) map[string]string {
	out := maps.Clone(labels)
	maps.DeleteFunc(out, func(key, _ string) bool { return !kubeletMaySet(key) })
	return out
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
