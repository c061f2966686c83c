package ec2sim

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	kubeletapis "k8s.io/kubelet/pkg/apis"
)

// A kubelet is what comes of user data: how the node registers and what it keeps
// back for itself.
type kubelet struct {
	labels map[string]string
	taints []corev1.Taint
	// maxPods is 0 where the ENIs decide.
	maxPods, podsPerCore                       int
	kubeReserved, systemReserved, evictionHard map[string]string
	// reserve is what the image reserves besides; nil for nothing.
	reserve    func(t InstanceType, pods int) map[string]string
	clusterDNS []string
	raid       bool // local disks are the node's ephemeral storage
	warnings   []string
}

// newKubelet is a kubelet with what the images configure before user data does.
func newKubelet() *kubelet {
	return &kubelet{
		labels: map[string]string{}, kubeReserved: map[string]string{}, systemReserved: map[string]string{}, reserve: reserveForENIs,
		evictionHard: map[string]string{"memory.available": "100Mi", "nodefs.available": "10%", "nodefs.inodesFree": "5%"},
	}
}

// cluster checks that the node is told to join the cluster that is there.
func (k *kubelet) cluster(c Cluster, name, endpoint, ca string) error {
	// The mistakes come in the order in which a booting node would meet them: no route
	// to the API server, no trust in it, and only then no permission.
	if c.Endpoint != "" && strings.TrimSuffix(endpoint, "/") != strings.TrimSuffix(c.Endpoint, "/") {
		return fmt.Errorf("joining the cluster: dialing %s: no such host", endpoint)
	}
	given, err := base64.StdEncoding.DecodeString(ca)
	if err != nil {
		return fmt.Errorf("decoding the certificate authority: %w", err)
	}
	// Compared as certificates, not as text: line ends and bundles may differ.
	if len(c.CA) > 0 {
		if err := sameCA(given, c.CA); err != nil {
			return fmt.Errorf("joining the cluster: %w", err)
		}
	}
	if name != c.Name {
		return fmt.Errorf("joining the cluster: Unauthorized: the token is for cluster %q, and this one is %q", name, c.Name)
	}
	return nil
}

// encodeCA is the authority in the form of user data.
func encodeCA(c Cluster) string { return base64.StdEncoding.EncodeToString(c.CA) }

// sameCA says whether any certificate given is one of the cluster's.
func sameCA(given, cluster []byte) error {
	theirs := certificates(cluster)
	ours := certificates(given)
	if len(ours) == 0 {
		return fmt.Errorf("the certificate authority holds no PEM certificate")
	}
	for _, o := range ours {
		if slices.ContainsFunc(theirs, func(t []byte) bool { return bytes.Equal(o, t) }) {
			return nil
		}
	}
	return x509.UnknownAuthorityError{}
}

// certificates are the DER certificates in PEM text.
func certificates(text []byte) [][]byte {
	var out [][]byte
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			return out
		}
		if b.Type == "CERTIFICATE" {
			out = append(out, b.Bytes)
		}
	}
}

// serviceCIDR checks the range of service addresses. A wrong one lets the node
// join, with a DNS server that is not there.
func (k *kubelet) serviceCIDR(c Cluster, cidr string) error {
	p, err := netip.ParsePrefix(cidr)
	if err != nil {
		return fmt.Errorf("validating NodeConfig: cluster CIDR: %w", err)
	}
	if c.ServiceCIDR != "" && p.String() != c.ServiceCIDR {
		k.warnings = append(k.warnings, fmt.Sprintf("the service CIDR is %s, not %s: pods will find no DNS", c.ServiceCIDR, p))
	}
	return nil
}

// checkDNS warns of a DNS server that is none of the cluster's services.
func (k *kubelet) checkDNS(c Cluster) {
	services, err := netip.ParsePrefix(c.ServiceCIDR)
	if err != nil {
		return
	}
	for _, server := range k.clusterDNS {
		if a, err := netip.ParseAddr(server); err != nil || !services.Contains(a) {
			k.warnings = append(k.warnings, fmt.Sprintf("the DNS server %s is not in %s", server, services))
		}
	}
}

// label reads --node-labels. Labels of a repeated flag add up.
func (k *kubelet) label(value string) error {
	got, err := pairs(value, "=")
	maps.Copy(k.labels, got)
	return err
}

// taint reads --register-with-taints: key=value:effect, key:effect, …. It replaces
// what the configuration says.
func (k *kubelet) taint(value string) error {
	k.taints = nil
	for t := range strings.SplitSeq(value, ",") {
		if t == "" {
			continue
		}
		pair, effect, ok := strings.Cut(t, ":")
		if !ok || strings.Contains(effect, ":") {
			return fmt.Errorf("invalid taint spec: %s", t)
		}
		key, val, _ := strings.Cut(pair, "=")
		k.taints = append(k.taints, corev1.Taint{Key: key, Value: val, Effect: corev1.TaintEffect(effect)})
	}
	return nil
}

// check refuses what kubelet, or the API server when it registers, refuses.
func (k *kubelet) check() error {
	for _, key := range slices.Sorted(maps.Keys(k.labels)) {
		if e := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(k.labels[key])...); len(e) > 0 {
			return fmt.Errorf("starting kubelet: label %s=%s: %s", key, k.labels[key], strings.Join(e, "; "))
		}
		// NodeRestriction keeps a node from giving itself labels that others trust. Kubelet
		// does not even start with them, and so the node never joins: the hardest mistake in
		// user data to find, and the reason to check it here.
		if reserved(key) && !kubeletapis.IsKubeletLabel(key) {
			return fmt.Errorf("starting kubelet: unknown 'kubernetes.io' or 'k8s.io' labels specified with --node-labels: [%s]", key)
		}
	}
	seen := map[[2]string]bool{}
	for _, t := range k.taints {
		if e := append(validation.IsQualifiedName(t.Key), validation.IsValidLabelValue(t.Value)...); len(e) > 0 {
			return fmt.Errorf("starting kubelet: taint %s: %s", t.ToString(), strings.Join(e, "; "))
		}
		if !slices.Contains([]corev1.TaintEffect{corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute}, t.Effect) {
			return fmt.Errorf("starting kubelet: invalid taint effect: %v, unsupported taint effect", t.Effect)
		}
		id := [2]string{t.Key, string(t.Effect)}
		// Kubelet starts with two of one key and effect; it is the API server that refuses
		// the Node.
		if seen[id] {
			return fmt.Errorf("registering node: taint %s: Duplicate value", t.ToString())
		}
		seen[id] = true
	}
	return nil
}

// reserved says whether a label is in a namespace of Kubernetes' own.
func reserved(key string) bool {
	namespace, _, ok := strings.Cut(key, "/")
	if !ok {
		return false
	}
	for _, suffix := range []string{"kubernetes.io", "k8s.io"} {
		if namespace == suffix || strings.HasSuffix(namespace, "."+suffix) {
			return true
		}
	}
	return false
}

// eniPods is how many pods the VPC CNI finds addresses for: one address of each
// interface is its own, and two pods share the host's.
func (t InstanceType) eniPods() int { return t.ENIs*(t.IPv4PerENI-1) + 2 }

// seenMemory is what the operating system reports, in bytes. Across a thousand
// types the kernel and the hypervisor keep about 144 MiB and 3.45 % for themselves.
func (t InstanceType) seenMemory() int64 {
	if t.SeenMemoryMiB > 0 {
		return t.SeenMemoryMiB << 20
	}
	return (t.MemoryMiB - t.MemoryMiB*345/10000 - 144) << 20
}

// resources are the node's capacity and what is left of it for pods.
func (k *kubelet) resources(t InstanceType, rootGiB int) (capacity, allocatable corev1.ResourceList, err error) {
	// Number by number as kubelet and the EKS images compute it, and not as the product
	// predicts it: see the laws of the package.
	pods := k.maxPods
	if pods == 0 {
		pods = t.eniPods()
	}
	if k.podsPerCore > 0 {
		pods = min(pods, k.podsPerCore*t.VCPU)
	}
	disk := int64(rootGiB) << 30
	if k.raid && t.LocalDisks > 0 {
		disk = t.LocalDiskGB * 1_000_000_000
	}
	disk -= disk / 1500 // what the file system needs
	full := map[corev1.ResourceName]int64{
		corev1.ResourceCPU: int64(t.VCPU) * 1000, corev1.ResourceMemory: t.seenMemory(),
		corev1.ResourceEphemeralStorage: disk, corev1.ResourcePods: int64(pods),
	}
	left := maps.Clone(full)
	kube := map[string]string{}
	if k.reserve != nil {
		kube = k.reserve(t, pods)
	}
	// What user data says of one resource replaces the image's value of that one; the
	// others stay.
	maps.Copy(kube, k.kubeReserved)
	for _, set := range []map[string]string{kube, k.systemReserved} {
		if err := keep(left, set); err != nil {
			return nil, nil, err
		}
	}
	for signal, name := range map[string]corev1.ResourceName{"memory.available": corev1.ResourceMemory, "nodefs.available": corev1.ResourceEphemeralStorage} {
		n, err := threshold(k.evictionHard[signal], full[name])
		if err != nil {
			return nil, nil, fmt.Errorf("starting kubelet: evictionHard %s: %w", signal, err)
		}
		left[name] -= n
	}
	return quantities(full), quantities(left), nil
}

// reserveForENIs is what Amazon Linux reserves: for as many pods as the interfaces
// have addresses for, whatever kubelet allows.
func reserveForENIs(t InstanceType, _ int) map[string]string { return reserveForPods(t, t.eniPods()) }

// reserveForPods is what Bottlerocket reserves.
func reserveForPods(t InstanceType, pods int) map[string]string {
	return map[string]string{"cpu": fmt.Sprintf("%dm", reservedCPU(t.VCPU)), "memory": fmt.Sprintf("%dMi", 255+11*pods), "ephemeral-storage": "1Gi"}
}

// keep takes reservations off what is left.
func keep(left map[corev1.ResourceName]int64, reserved map[string]string) error {
	for name, text := range reserved {
		q, err := quantity(text)
		if err != nil || q.Sign() < 0 {
			return fmt.Errorf("starting kubelet: reservation %s=%q is not a quantity", name, text)
		}
		n := q.Value()
		if name == "cpu" {
			n = q.MilliValue()
		}
		// Reservations of what no node has (pid, say) are legal, and take nothing.
		if _, ok := left[corev1.ResourceName(name)]; ok {
			left[corev1.ResourceName(name)] -= n
		}
	}
	return nil
}

// threshold reads an eviction threshold: a quantity, or a percentage of the whole.
func threshold(text string, whole int64) (int64, error) {
	if percent, ok := strings.CutSuffix(text, "%"); ok {
		p, err := strconv.ParseFloat(percent, 64)
		if err != nil || p < 0 || p > 100 {
			return 0, fmt.Errorf("%q is not a percentage", text)
		}
		return int64(float64(whole) * p / 100), nil
	}
	// Kubelet fills in its defaults only if it is given no threshold at all, and the
	// images give it some.
	if text == "" {
		return 0, nil
	}
	q, err := quantity(text)
	return q.Value(), err
}

// maxExponent is the length of "e-99": ParseQuantity takes minutes to round
// 1E-2147483647 to its least unit, and the sizes of machines need no more.
const maxExponent = 4

// quantity reads a quantity that a machine can have.
func quantity(text string) (resource.Quantity, error) {
	if at := strings.LastIndexAny(text, "eE"); at >= 0 && len(text)-at > maxExponent {
		return resource.Quantity{}, fmt.Errorf("%q is out of range", text)
	}
	q, err := resource.ParseQuantity(text)
	if err == nil && q.CmpInt64(1<<50) > 0 {
		err = fmt.Errorf("%q is out of range", text)
	}
	return q, err
}

// reservedCPU is what EKS images keep of the processors, in millicores: 6 % of the
// first, 1 % of the second, 0.5 % of the next two, 0.25 % of the others.
func reservedCPU(vcpu int) int {
	sum := 0 // in hundredths of a millicore
	for n := range vcpu {
		switch {
		case n < 1:
			sum += 6000
		case n < 2:
			sum += 1000
		case n < 4:
			sum += 500
		default:
			sum += 250
		}
	}
	return sum / 100
}

// quantities spells numbers as kubelet does; nothing is below zero.
func quantities(of map[corev1.ResourceName]int64) corev1.ResourceList {
	out := corev1.ResourceList{}
	for name, n := range of {
		n = max(n, 0)
		switch name {
		case corev1.ResourceCPU:
			out[name] = *resource.NewMilliQuantity(n, resource.DecimalSI)
		case corev1.ResourcePods:
			out[name] = *resource.NewQuantity(n, resource.DecimalSI)
		default:
			out[name] = *resource.NewQuantity(n, resource.BinarySI)
		}
	}
	// Kubelet reports huge pages also where there are none. Whoever adds up resources
	// by name has to cope with zeros.
	for _, huge := range []corev1.ResourceName{"hugepages-1Gi", "hugepages-2Mi"} {
		out[huge] = *resource.NewQuantity(0, resource.DecimalSI)
	}
	return out
}
