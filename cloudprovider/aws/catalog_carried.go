package aws

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// A carried is a setting of KubeletConfiguration as a family of images has it: a
// flag of kubelet, or a setting of Bottlerocket.
type carried struct {
	name  string
	shape shape
}

// A shape is what the value of a setting has to look like.
type shape int

const (
	scalar     shape = iota // text, a whole number, or true or false
	text                    // a scalar that is written as text
	list                    // of scalars
	pairs                   // scalars by name; as a flag name=value,…
	thresholds              // scalars by name; as a flag name<value,…
	options                 // true and false by name; as a flag once for each, as a setting those that are true
	numa                    // a list of NUMA nodes with what is reserved of them; as a flag once for each
	behavior                // a map whose swapBehavior is the value
)

// shapes says in words what the value of each shape has to be.
var shapes = map[shape]string{
	scalar: "text, a whole number, true or false", text: "text or a whole number", list: "a list", pairs: "a map", thresholds: "a map",
	options: "a map of true and false", numa: "a list of numaNode and limits", behavior: "a map with swapBehavior",
}

// kubeletFlags are the settings that kubelet takes as flags (kubelet's command line
// reference). Flags win over the file that an image's bootstrap writes.
var kubeletFlags = map[string]carried{
	"address": {"address", scalar}, "allowedUnsafeSysctls": {"allowed-unsafe-sysctls", list},
	"cgroupDriver": {"cgroup-driver", scalar}, "cgroupRoot": {"cgroup-root", scalar}, "cgroupsPerQOS": {"cgroups-per-qos", scalar},
	"clusterDNS": {"cluster-dns", list}, "clusterDomain": {"cluster-domain", scalar},
	"containerLogMaxFiles": {"container-log-max-files", scalar}, "containerLogMaxSize": {"container-log-max-size", scalar},
	"contentType": {"kube-api-content-type", scalar}, "cpuCFSQuota": {"cpu-cfs-quota", scalar}, "cpuCFSQuotaPeriod": {"cpu-cfs-quota-period", scalar},
	"cpuManagerPolicy": {"cpu-manager-policy", scalar}, "cpuManagerPolicyOptions": {"cpu-manager-policy-options", options},
	"cpuManagerReconcilePeriod": {"cpu-manager-reconcile-period", scalar}, "enableContentionProfiling": {"contention-profiling", scalar},
	"enableControllerAttachDetach": {"enable-controller-attach-detach", scalar}, "enableDebuggingHandlers": {"enable-debugging-handlers", scalar},
	"enableServer": {"enable-server", scalar}, "enforceNodeAllocatable": {"enforce-node-allocatable", list},
	"eventBurst": {"event-burst", scalar}, "eventRecordQPS": {"event-qps", scalar},
	"evictionHard": {"eviction-hard", thresholds}, "evictionMaxPodGracePeriod": {"eviction-max-pod-grace-period", scalar},
	"evictionMinimumReclaim": {"eviction-minimum-reclaim", pairs}, "evictionPressureTransitionPeriod": {"eviction-pressure-transition-period", scalar},
	"evictionSoft": {"eviction-soft", thresholds}, "evictionSoftGracePeriod": {"eviction-soft-grace-period", pairs},
	"failSwapOn": {"fail-swap-on", scalar}, "featureGates": {"feature-gates", pairs},
	"fileCheckFrequency": {"file-check-frequency", scalar}, "hairpinMode": {"hairpin-mode", scalar},
	"healthzBindAddress": {"healthz-bind-address", scalar}, "healthzPort": {"healthz-port", scalar}, "httpCheckFrequency": {"http-check-frequency", scalar},
	"imageGCHighThresholdPercent": {"image-gc-high-threshold", scalar}, "imageGCLowThresholdPercent": {"image-gc-low-threshold", scalar},
	"imageMinimumGCAge": {"minimum-image-ttl-duration", scalar}, "kernelMemcgNotification": {"kernel-memcg-notification", scalar},
	"kubeAPIBurst": {"kube-api-burst", scalar}, "kubeAPIQPS": {"kube-api-qps", scalar},
	"kubeReserved": {"kube-reserved", pairs}, "kubeReservedCgroup": {"kube-reserved-cgroup", scalar}, "kubeletCgroups": {"kubelet-cgroups", scalar},
	"makeIPTablesUtilChains": {"make-iptables-util-chains", scalar}, "maxOpenFiles": {"max-open-files", scalar}, "maxPods": {"max-pods", scalar},
	"memoryManagerPolicy": {"memory-manager-policy", scalar}, "nodeStatusMaxImages": {"node-status-max-images", scalar},
	"nodeStatusUpdateFrequency": {"node-status-update-frequency", scalar}, "oomScoreAdj": {"oom-score-adj", scalar},
	"podPidsLimit": {"pod-max-pids", scalar}, "podsPerCore": {"pods-per-core", scalar}, "port": {"port", scalar},
	"protectKernelDefaults": {"protect-kernel-defaults", scalar}, "readOnlyPort": {"read-only-port", scalar},
	"registryBurst": {"registry-burst", scalar}, "registryPullQPS": {"registry-qps", scalar}, "reservedMemory": {"reserved-memory", numa}, "resolvConf": {"resolv-conf", scalar},
	"rotateCertificates": {"rotate-certificates", scalar}, "runtimeRequestTimeout": {"runtime-request-timeout", scalar},
	"seccompDefault": {"seccomp-default", scalar}, "serializeImagePulls": {"serialize-image-pulls", scalar}, "serverTLSBootstrap": {"rotate-server-certificates", scalar},
	"staticPodPath": {"pod-manifest-path", scalar}, "staticPodURL": {"manifest-url", scalar},
	"streamingConnectionIdleTimeout": {"streaming-connection-idle-timeout", scalar}, "syncFrequency": {"sync-frequency", scalar},
	"systemCgroups": {"system-cgroups", scalar}, "systemReserved": {"system-reserved", pairs}, "systemReservedCgroup": {"system-reserved-cgroup", scalar},
	"tlsCertFile": {"tls-cert-file", scalar}, "tlsCipherSuites": {"tls-cipher-suites", list}, "tlsMinVersion": {"tls-min-version", scalar},
	"tlsPrivateKeyFile": {"tls-private-key-file", scalar}, "topologyManagerPolicy": {"topology-manager-policy", scalar},
	"topologyManagerPolicyOptions": {"topology-manager-policy-options", pairs}, "topologyManagerScope": {"topology-manager-scope", scalar},
	"volumePluginDir": {"volume-plugin-dir", scalar}, "volumeStatsAggPeriod": {"volume-stats-agg-period", scalar},
}

// checkCarried returns a *NodeClassError if nodes of a family cannot be given a
// setting of spec.kubelet. AL2023 is given KubeletConfiguration as it is, and what
// becomes of it on nodes from the user's own images is the user's to say.
func checkCarried(family v1.AMIFamily, kubelet map[string]apiextensionsv1.JSON) error {
	for _, key := range slices.Sorted(maps.Keys(kubelet)) {
		var err error
		switch raw := kubelet[key].Raw; {
		case family == v1.AMIFamilyAL2023, family == v1.AMIFamilyCustom:
		case family == v1.AMIFamilyBottlerocket:
			if c, ok := bottlerocketSettings[key]; ok {
				_, err = c.read(key, raw)
			} else {
				err = notCarried(family, key)
			}
		default:
			_, err = flagsOf(family, key, raw)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func notCarried(family v1.AMIFamily, key string) error {
	return &NodeClassError{Field: "kubelet." + key, Problem: fmt.Sprintf("nodes of family %s have no such setting", family), Unsupported: true}
}

// read returns the value of a setting: nil, string, int64, bool, []string,
// map[string]string or, for numa, map[string]map[string]string by the node's number.
// One of another shape is a *NodeClassError.
func (c carried) read(key string, raw []byte) (any, error) {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if len(raw) > 0 {
		if err := decoder.Decode(&value); err != nil {
			return nil, badField("kubelet."+key, "%v", err)
		}
	}
	if value == nil {
		return nil, nil
	}
	var out any
	ok := false
	switch c.shape {
	case scalar:
		out, ok = readScalar(value)
	case text:
		out, ok = readText(value)
	case list:
		out, ok = readList(value)
	case pairs, thresholds:
		out, ok = readPairs(value)
	case options:
		out, ok = readOptions(value)
	case numa:
		out, ok = readNUMA(value)
	case behavior:
		swap, isMap := readPairs(value)
		out, ok = swap["swapBehavior"], isMap && len(swap) == 1
	}
	if !ok {
		return nil, badField("kubelet."+key, "%s is not %s", raw, shapes[c.shape])
	}
	return out, nil
}

func readScalar(value any) (any, bool) {
	switch v := value.(type) {
	case string, bool:
		return v, true
	case json.Number:
		n, err := v.Int64()
		return n, err == nil
	}
	return nil, false
}

func readText(value any) (string, bool) {
	s, ok := readScalar(value)
	return fmt.Sprint(s), ok
}

func readList(value any) ([]string, bool) {
	items, ok := value.([]any)
	out := make([]string, 0, len(items))
	for _, i := range items {
		s, isText := readText(i)
		out, ok = append(out, s), ok && isText
	}
	return out, ok
}

func readPairs(value any) (map[string]string, bool) {
	items, ok := value.(map[string]any)
	out := map[string]string{}
	for key, i := range items {
		s, isText := readText(i)
		out[key], ok = s, ok && isText
	}
	return out, ok
}

// readOptions returns the names that are on, sorted.
func readOptions(value any) ([]string, bool) {
	items, ok := readPairs(value)
	var out []string
	for _, key := range slices.Sorted(maps.Keys(items)) {
		on, err := strconv.ParseBool(items[key])
		if ok = ok && err == nil; on {
			out = append(out, key)
		}
	}
	return out, ok
}

// readNUMA returns what is reserved of each NUMA node, by its number.
func readNUMA(value any) (map[string]map[string]string, bool) {
	items, ok := value.([]any)
	out := map[string]map[string]string{}
	for _, i := range items {
		fields, isMap := i.(map[string]any)
		node, isNumber := fields["numaNode"].(json.Number)
		limits, isPairs := readPairs(fields["limits"])
		out[node.String()], ok = limits, ok && isMap && isNumber && isPairs && len(fields) == 2
	}
	return out, ok
}

// kubeletFlags returns kubelet's command line for a family that knows no other way.
func (b bootstrap) kubeletFlags() ([]string, error) {
	var out []string
	if labels := nodeLabels(b.labels); labels != "" {
		out = append(out, "--node-labels="+labels)
	}
	if len(b.taints) > 0 {
		var taints []string
		for _, t := range b.taints {
			pair := t.Key
			if t.Value != "" {
				pair += "=" + t.Value
			}
			taints = append(taints, pair+":"+t.Effect)
		}
		out = append(out, "--register-with-taints="+strings.Join(taints, ","))
	}
	if b.maxPods > 0 {
		out = append(out, fmt.Sprintf("--max-pods=%d", b.maxPods))
	}
	for _, flag := range out {
		if !plain.MatchString(flag) {
			return nil, fmt.Errorf("writing user data: kubelet cannot be given %q", flag)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(b.spec.Kubelet)) {
		if key == "maxPods" && b.maxPods > 0 {
			continue
		}
		flags, err := flagsOf(b.spec.Family(), key, b.spec.Kubelet[key].Raw)
		if err != nil {
			return nil, err
		}
		out = append(out, flags...)
	}
	return out, nil
}

// plain is what a flag may consist of. On its way to kubelet it passes through a
// shell, a unit of systemd or the command line of a service, which split it at
// blanks and have ideas of their own about quotes, backslashes, dollar and percent
// signs. Nothing that kubelet takes needs them, but for the percentages of thresholds.
var plain = regexp.MustCompile(`^([A-Za-z0-9_./:=,<@+*!~-]|%(,|$))*$`)

// flagsOf returns the flags for one setting; none if it is null.
func flagsOf(family v1.AMIFamily, key string, raw []byte) ([]string, error) {
	c, ok := kubeletFlags[key]
	if !ok {
		return nil, notCarried(family, key)
	}
	if c.shape == options {
		c.shape = pairs // those that are off can be said as well
	}
	value, err := c.read(key, raw)
	if err != nil {
		return nil, err
	}
	flag := "--" + c.name + "="
	var out []string
	switch v := value.(type) {
	case nil:
	case []string:
		out = []string{flag + strings.Join(v, ",")}
	case map[string]string:
		out = pairFlags(flag, kubeletFlags[key].shape, v)
	case map[string]map[string]string:
		for _, node := range slices.Sorted(maps.Keys(v)) {
			out = append(out, pairFlags(flag+node+":", pairs, v[node])...)
		}
	default:
		out = []string{flag + fmt.Sprint(v)}
	}
	for _, f := range out {
		if !plain.MatchString(f) {
			return nil, badField("kubelet."+key, "kubelet cannot be given %q", f)
		}
	}
	return out, nil
}

// pairFlags writes a map, sorted by name.
func pairFlags(flag string, shape shape, values map[string]string) []string {
	between := "="
	if shape == thresholds {
		between = "<"
	}
	var words []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		words = append(words, name+between+values[name])
	}
	if shape != options {
		return []string{flag + strings.Join(words, ",")}
	}
	for i := range words {
		words[i] = flag + words[i]
	}
	return words
}
