package ec2sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	corev1 "k8s.io/api/core/v1"
)

// A document is Bottlerocket's user data. Fields that are read by nobody are here so
// that a misspelled one is found.
type settingsDocument struct {
	Settings struct {
		Kubernetes        kubernetesSettings          `toml:"kubernetes"`
		BootstrapCommands map[string]bootstrapCommand `toml:"bootstrap-commands"`
		Autoscaling       struct {
			ShouldWait bool `toml:"should-wait"`
		} `toml:"autoscaling"`
	} `toml:"settings"`
}

type bootstrapCommand struct {
	Commands  [][]string `toml:"commands"`
	Mode      string     `toml:"mode"`
	Essential bool       `toml:"essential"`
}

type kubernetesSettings struct {
	ClusterName  string            `toml:"cluster-name"`
	Endpoint     string            `toml:"api-server"`
	Certificate  string            `toml:"cluster-certificate"`
	DNS          any               `toml:"cluster-dns-ip"` // an address, or a list of them
	Labels       map[string]string `toml:"node-labels"`
	Taints       map[string]any    `toml:"node-taints"` // value:effect, or a list of them
	MaxPods      int               `toml:"max-pods"`
	EvictionHard map[string]string `toml:"eviction-hard"`
	KubeReserved map[string]string `toml:"kube-reserved"`
	SysReserved  map[string]string `toml:"system-reserved"`

	EvictionSoft       map[string]string `toml:"eviction-soft"`
	EvictionGrace      map[string]string `toml:"eviction-soft-grace-period"`
	EvictionMaxGrace   int               `toml:"eviction-max-pod-grace-period"`
	ImageGCHigh        string            `toml:"image-gc-high-threshold-percent"`
	ImageGCLow         string            `toml:"image-gc-low-threshold-percent"`
	CPUQuota           bool              `toml:"cpu-cfs-quota-enforced"`
	CPUPolicy          string            `toml:"cpu-manager-policy"`
	CPUPolicyOptions   []string          `toml:"cpu-manager-policy-options"`
	CPUReconcile       string            `toml:"cpu-manager-reconcile-period"`
	TopologyPolicy     string            `toml:"topology-manager-policy"`
	TopologyScope      string            `toml:"topology-manager-scope"`
	MemoryPolicy       string            `toml:"memory-manager-policy"`
	MemoryReserved     map[string]any    `toml:"memory-manager-reserved-memory"`
	MemorySwap         string            `toml:"memory-swap-behavior"`
	LogSize            string            `toml:"container-log-max-size"`
	LogFiles           int               `toml:"container-log-max-files"`
	LogWorkers         int               `toml:"container-log-max-workers"`
	LogInterval        string            `toml:"container-log-monitor-interval"`
	RegistryQPS        int               `toml:"registry-qps"`
	RegistryBurst      int               `toml:"registry-burst"`
	EventQPS           int               `toml:"event-qps"`
	EventBurst         int               `toml:"event-burst"`
	APIQPS             int               `toml:"kube-api-qps"`
	APIBurst           int               `toml:"kube-api-burst"`
	Sysctls            []string          `toml:"allowed-unsafe-sysctls"`
	ServerTLS          bool              `toml:"server-tls-bootstrap"`
	ClusterDomain      string            `toml:"cluster-domain"`
	Seccomp            bool              `toml:"seccomp-default"`
	PodPIDs            int               `toml:"pod-pids-limit"`
	SingleOOM          bool              `toml:"single-process-oom-kill"`
	Shutdown           string            `toml:"shutdown-grace-period"`
	ShutdownCritical   string            `toml:"shutdown-grace-period-for-critical-pods"`
	StandaloneMode     bool              `toml:"standalone-mode"`
	AuthenticationMode string            `toml:"authentication-mode"`
	CloudProvider      string            `toml:"cloud-provider"`
	LogLevel           int               `toml:"log-level"`
	HostnameSource     string            `toml:"hostname-override-source"`
	StaticPods         map[string]any    `toml:"static-pods"`
	Credentials        map[string]any    `toml:"credential-providers"`
}

// otherSettings are Bottlerocket's that have no consequence here.
var otherSettings = strings.Fields(`motd host-containers bootstrap-containers kernel ntp network dns pki updates metrics
	container-registry container-runtime container-runtime-plugins kubelet-device-plugins aws oci-defaults oci-hooks boot cloudformation`)

// applySettings reads user data as Bottlerocket does: one setting that it does not
// know, or of another type, and none is taken.
func applySettings(userData string, cluster Cluster) (*kubelet, error) {
	var d settingsDocument
	meta, err := toml.Decode(userData, &d)
	if err != nil {
		return nil, fmt.Errorf("applying user data: %w", err)
	}
	for _, key := range meta.Undecoded() {
		if len(key) < 2 || key[0] != "settings" || !slices.Contains(otherSettings, key[1]) {
			return nil, fmt.Errorf("applying user data: unknown field %s", key)
		}
	}
	s := &d.Settings.Kubernetes
	k := newKubelet()
	if err := k.cluster(cluster, s.ClusterName, s.Endpoint, s.Certificate); err != nil {
		return nil, err
	}
	if d.Settings.Autoscaling.ShouldWait {
		return nil, fmt.Errorf("waiting for the Auto Scaling group, of which the instance is no part")
	}
	if k.clusterDNS, err = texts(s.DNS); err != nil {
		return nil, fmt.Errorf("applying user data: settings.kubernetes.cluster-dns-ip: %w", err)
	}
	k.checkDNS(cluster)
	k.reserve, k.maxPods = reserveForPods, s.MaxPods
	maps.Copy(k.labels, s.Labels)
	maps.Copy(k.kubeReserved, s.KubeReserved)
	maps.Copy(k.systemReserved, s.SysReserved)
	if s.EvictionHard != nil {
		k.evictionHard = s.EvictionHard
	}
	k.raid = stripes(d.Settings.BootstrapCommands)
	return k, k.taintSettings(s.Taints)
}

// taintSettings reads node-taints.
func (k *kubelet) taintSettings(taints map[string]any) error {
	for _, key := range slices.Sorted(maps.Keys(taints)) {
		list, err := texts(taints[key])
		if err != nil {
			return fmt.Errorf("applying user data: settings.kubernetes.node-taints.%s: %w", key, err)
		}
		for _, t := range list {
			value, effect, ok := strings.Cut(t, ":")
			if !ok {
				return fmt.Errorf("applying user data: settings.kubernetes.node-taints.%s: %q is not of the form value:effect", key, t)
			}
			k.taints = append(k.taints, corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffect(effect)})
		}
	}
	return nil
}

// texts reads a text or a list of them.
func texts(value any) ([]string, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case []any:
		var out []string
		for _, x := range v {
			s, ok := x.(string)
			if !ok {
				return nil, fmt.Errorf("%v is no text", x)
			}
			out = append(out, s)
		}
		return out, nil
	}
	return nil, fmt.Errorf("%v is neither text nor a list", value)
}

// stripes says whether the commands, in the order of their names, make a volume of
// the local disks and then put pods' files on it.
func stripes(commands map[string]bootstrapCommand) bool {
	made := false
	for _, name := range slices.Sorted(maps.Keys(commands)) {
		if commands[name].Mode == "off" {
			continue
		}
		for _, c := range commands[name].Commands {
			if len(c) < 3 || c[0] != "apiclient" || c[1] != "ephemeral-storage" {
				continue
			}
			switch dirs := c[3:]; {
			case c[2] == "init":
				made = true
			case c[2] == "bind" && made && (len(dirs) == 0 || slices.Contains(dirs, "/var/lib/kubelet")):
				return true
			}
		}
	}
	return false
}
