package aws

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// A kubelet is what of a KubeletConfiguration matters to a node's capacity.
type kubelet struct {
	// maxPods and podsPerCore; 0 if unset.
	maxPods, podsPerCore int64
	// kubeReserved replaces, key by key, what is reserved by default;
	// systemReserved comes on top.
	kubeReserved, systemReserved cloudprovider.Resources
	// memoryEviction and diskEviction are the hard thresholds below which
	// kubelet evicts; nil means kubelet's defaults.
	memoryEviction, diskEviction *threshold
}

// A threshold is an amount, or a part of the capacity in millionths.
type threshold struct{ bytes, millionths int64 }

// of is the threshold's amount for a capacity, rounded up.
func (t *threshold) of(capacity int64) int64 { return t.bytes + portion(capacity, t.millionths) }

// inert are the keys of KubeletConfiguration that do not change what a node can
// hold. They pass through to the node unread.
var inert = strings.Fields(`
	address allowedUnsafeSysctls authentication authorization cgroupDriver cgroupRoot cgroupsPerQOS clusterDNS
	clusterDomain configMapAndSecretChangeDetectionStrategy containerLogMaxFiles containerLogMaxSize
	containerLogMaxWorkers containerLogMonitorInterval containerRuntimeEndpoint contentType cpuCFSQuota
	cpuCFSQuotaPeriod cpuManagerPolicy cpuManagerPolicyOptions cpuManagerReconcilePeriod crashLoopBackOff
	enableContentionProfiling enableControllerAttachDetach enableDebugFlagsHandler enableDebuggingHandlers
	enableProfilingHandler enableServer enableSystemLogHandler enableSystemLogQuery enforceNodeAllocatable eventBurst
	eventRecordQPS evictionMaxPodGracePeriod evictionMinimumReclaim evictionPressureTransitionPeriod evictionSoft
	evictionSoftGracePeriod failCgroupV1 failSwapOn featureGates fileCheckFrequency hairpinMode healthzBindAddress
	healthzPort httpCheckFrequency imageGCHighThresholdPercent imageGCLowThresholdPercent imageMaximumGCAge
	imageMinimumGCAge imagePullCredentialsVerificationPolicy imageServiceEndpoint iptablesDropBit
	iptablesMasqueradeBit kernelMemcgNotification kubeAPIBurst kubeAPIQPS kubeReservedCgroup kubeletCgroups logging
	makeIPTablesUtilChains maxOpenFiles maxParallelImagePulls memoryManagerPolicy memoryReservationPolicy memorySwap
	memoryThrottlingFactor mergeDefaultEvictionSettings nodeLeaseDurationSeconds nodeStatusMaxImages
	nodeStatusReportFrequency nodeStatusUpdateFrequency oomScoreAdj podLogsDir podPidsLimit port
	preloadedImagesVerificationAllowlist protectKernelDefaults readOnlyPort registryBurst registryPullQPS
	reservedMemory resolvConf rotateCertificates runtimeRequestTimeout seccompDefault serializeImagePulls
	serverTLSBootstrap showHiddenMetricsForVersion shutdownGracePeriod shutdownGracePeriodByPodPriority
	shutdownGracePeriodCriticalPods singleProcessOOMKill staticPodPath staticPodURL staticPodURLHeader
	streamingConnectionIdleTimeout syncFrequency systemCgroups systemReservedCgroup tlsCertFile tlsCipherSuites
	tlsCurvePreferences tlsMinVersion tlsPrivateKeyFile topologyManagerPolicy topologyManagerPolicyOptions
	topologyManagerScope tracing userNamespaces volumePluginDir volumeStatsAggPeriod`)

// refused are keys that change a node in ways that a plan would not see.
var refused = map[string]string{
	"registerWithTaints":            "taints belong into the NodePool",
	"registerNode":                  "nodes must register",
	"providerID":                    "it is the instance's",
	"podCIDR":                       "addresses come from the VPC",
	"reservedSystemCPUs":            "it overrides what is reserved of the CPU; use systemReserved",
	"localStorageCapacityIsolation": "nodes without ephemeral-storage are not understood",
	"qosReserved":                   "reservations by quality of service are not understood",
	"runOnce":                       "kubelet must keep running",
}

// parseKubelet reads spec.kubelet. A key that KubeletConfiguration does not
// have, or whose value is not understood, is a *NodeClassError of that key.
func parseKubelet(entries map[string]apiextensionsv1.JSON) (kubelet, error) {
	var k kubelet
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		if err := k.set(key, entries[key].Raw); err != nil {
			return kubelet{}, err
		}
	}
	return k, nil
}

func (k *kubelet) set(key string, value []byte) (err error) {
	switch key {
	case "maxPods":
		k.maxPods, err = parseCount(key, value)
	case "podsPerCore":
		k.podsPerCore, err = parseCount(key, value)
	case "kubeReserved":
		k.kubeReserved, err = parseReserved(key, value)
	case "systemReserved":
		k.systemReserved, err = parseReserved(key, value)
	case "evictionHard":
		err = k.setEviction(key, value)
	default:
		if why, ok := refused[key]; ok {
			return badField("kubelet."+key, "cannot be set: %s", why)
		}
		if !slices.Contains(inert, key) {
			return badField("kubelet."+key, "is not a field of KubeletConfiguration")
		}
	}
	return err
}

// parseCount reads a whole number, not negative; for both keys 0 means unset, as
// it does to kubelet.
func parseCount(key string, value []byte) (int64, error) {
	var n int32
	if err := json.Unmarshal(value, &n); err != nil || n < 0 {
		return 0, badField("kubelet."+key, "%s is not a whole number (expressions are not understood)", value)
	}
	return int64(n), nil
}

// parseReserved reads quantities by resource name.
func parseReserved(key string, value []byte) (cloudprovider.Resources, error) {
	texts, err := parseTexts(key, value)
	if err != nil {
		return nil, err
	}
	reserved := cloudprovider.Resources{}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		field := "kubelet." + key + "." + name
		q, err := parseQuantity(texts[name])
		if err != nil || q.Sign() < 0 {
			return nil, badField(field, "%q is not a quantity of 0 or more (expressions are not understood)", texts[name])
		}
		switch name {
		case cloudprovider.CPU:
			reserved[name] = q.MilliValue()
		case cloudprovider.Memory, cloudprovider.EphemeralStorage:
			reserved[name] = q.Value()
		case "pid": // pods request none
		default:
			return nil, badField(field, "is not a resource that can be reserved")
		}
	}
	return reserved, nil
}

// setEviction reads thresholds by signal. Those that stand for memory and for
// the volume of pods count; the others evict for reasons that pods do not
// request.
func (k *kubelet) setEviction(key string, value []byte) error {
	texts, err := parseTexts(key, value)
	if err != nil {
		return err
	}
	for _, signal := range slices.Sorted(maps.Keys(texts)) {
		t, err := parseThreshold(texts[signal])
		if err != nil {
			return badField("kubelet."+key+"."+signal, "%v", err)
		}
		switch signal {
		case "memory.available":
			k.memoryEviction = &t
		case "nodefs.available":
			k.diskEviction = &t
		case "nodefs.inodesFree", "imagefs.available", "imagefs.inodesFree", "containerfs.available", "containerfs.inodesFree", "pid.available":
		default:
			return badField("kubelet."+key+"."+signal, "is not an eviction signal")
		}
	}
	return nil
}

func parseTexts(key string, value []byte) (map[string]string, error) {
	var texts map[string]string
	if err := json.Unmarshal(value, &texts); err != nil {
		return nil, badField("kubelet."+key, "%s is not a map of strings", value)
	}
	return texts, nil
}

// parseThreshold reads "100Mi" or "7.5%"; both 0% and 100% turn a threshold off
// (KubeletConfiguration, evictionHard).
func parseThreshold(s string) (threshold, error) {
	if percent, ok := strings.CutSuffix(s, "%"); ok {
		whole, fraction, _ := strings.Cut(percent, ".")
		n, err := strconv.ParseInt(whole+(fraction + "0000")[:4], 10, 64)
		if err != nil || whole == "" || len(fraction) > 4 || n < 0 || n > million {
			return threshold{}, fmt.Errorf("%q is not a percentage of at most four decimals", s)
		}
		return threshold{millionths: n % million}, nil
	}
	q, err := parseQuantity(s)
	if err != nil || q.Sign() < 0 {
		return threshold{}, fmt.Errorf("%q is neither a quantity nor a percentage", s)
	}
	return threshold{bytes: q.Value()}, nil
}

// parseQuantity is resource.ParseQuantity for text that nobody has checked: an
// exponent of many digits would keep that busy for minutes.
func parseQuantity(s string) (resource.Quantity, error) {
	if at := strings.IndexAny(s, "eE"); len(s) > 24 || at >= 0 && len(s)-at > 4 {
		return resource.Quantity{}, resource.ErrFormatWrong
	}
	return resource.ParseQuantity(s)
}

const million = 1_000_000

// portion is total × millionths / 10⁶, rounded up, exactly and without overflow.
func portion(total, millionths int64) int64 {
	return total/million*millionths + (total%million*millionths+million-1)/million
}
