package aws

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// bottlerocketSettings are the kubelet settings that Bottlerocket has, below
// settings.kubernetes, and how it calls them (Bottlerocket, settings reference).
var bottlerocketSettings = map[string]carried{
	"allowedUnsafeSysctls":            {"allowed-unsafe-sysctls", list},
	"clusterDNS":                      {"cluster-dns-ip", list},
	"clusterDomain":                   {"cluster-domain", scalar},
	"containerLogMaxFiles":            {"container-log-max-files", scalar},
	"containerLogMaxSize":             {"container-log-max-size", scalar},
	"containerLogMaxWorkers":          {"container-log-max-workers", scalar},
	"containerLogMonitorInterval":     {"container-log-monitor-interval", scalar},
	"cpuCFSQuota":                     {"cpu-cfs-quota-enforced", scalar},
	"cpuManagerPolicy":                {"cpu-manager-policy", scalar},
	"cpuManagerPolicyOptions":         {"cpu-manager-policy-options", options},
	"cpuManagerReconcilePeriod":       {"cpu-manager-reconcile-period", scalar},
	"eventBurst":                      {"event-burst", scalar},
	"eventRecordQPS":                  {"event-qps", scalar},
	"evictionHard":                    {"eviction-hard", thresholds},
	"evictionMaxPodGracePeriod":       {"eviction-max-pod-grace-period", scalar},
	"evictionSoft":                    {"eviction-soft", thresholds},
	"evictionSoftGracePeriod":         {"eviction-soft-grace-period", pairs},
	"imageGCHighThresholdPercent":     {"image-gc-high-threshold-percent", text},
	"imageGCLowThresholdPercent":      {"image-gc-low-threshold-percent", text},
	"kubeAPIBurst":                    {"kube-api-burst", scalar},
	"kubeAPIQPS":                      {"kube-api-qps", scalar},
	"kubeReserved":                    {"kube-reserved", pairs},
	"maxPods":                         {"max-pods", scalar},
	"memoryManagerPolicy":             {"memory-manager-policy", scalar},
	"memorySwap":                      {"memory-swap-behavior", behavior},
	"podPidsLimit":                    {"pod-pids-limit", scalar},
	"registryBurst":                   {"registry-burst", scalar},
	"registryPullQPS":                 {"registry-qps", scalar},
	"reservedMemory":                  {"memory-manager-reserved-memory", numa},
	"seccompDefault":                  {"seccomp-default", scalar},
	"serverTLSBootstrap":              {"server-tls-bootstrap", scalar},
	"shutdownGracePeriod":             {"shutdown-grace-period", scalar},
	"shutdownGracePeriodCriticalPods": {"shutdown-grace-period-for-critical-pods", scalar},
	"singleProcessOOMKill":            {"single-process-oom-kill", scalar},
	"systemReserved":                  {"system-reserved", pairs},
	"topologyManagerPolicy":           {"topology-manager-policy", scalar},
	"topologyManagerScope":            {"topology-manager-scope", scalar},
}

// bottlerocket is the user's settings with ours over them. Labels and taints are
// the user's and ours together; of one label ours counts.
func (b bootstrap) bottlerocket() (string, error) {
	document := map[string]any{}
	if err := toml.Unmarshal([]byte(b.spec.UserData), &document); err != nil {
		if at, ok := errors.AsType[*toml.DecodeError](err); ok {
			row, column := at.Position()
			return "", badUserData("it is not TOML: line %d, column %d: %w", row, column, err)
		}
		return "", badUserData("it is not TOML: %w", err)
	}
	root := tomlTable{"", document}
	kubernetes, err := root.sub("settings", "kubernetes")
	if err != nil {
		return "", err
	}
	if err := b.setKubernetes(kubernetes); err != nil {
		return "", err
	}
	if b.spec.InstanceStorePolicy == v1.InstanceStoreRAID0 {
		commands, err := root.sub("settings", "bootstrap-commands")
		if err != nil {
			return "", err
		}
		commands.fields["000-mount-instance-storage"] = stripeDisks(b.image)
	}
	// Only an Auto Scaling group would ever tell a node that waits for it to go on.
	if settings := document["settings"].(map[string]any); settings["autoscaling"] != nil {
		autoscaling, err := root.sub("settings", "autoscaling")
		if err != nil {
			return "", err
		}
		autoscaling.fields["should-wait"] = false
	}
	out, err := toml.Marshal(document)
	if err != nil {
		return "", fmt.Errorf("writing Bottlerocket's settings: %w", err)
	}
	return string(out), nil
}

// setKubernetes lays our settings over the user's.
func (b bootstrap) setKubernetes(kubernetes tomlTable) error {
	set := kubernetes.fields
	set["cluster-name"], set["api-server"], set["cluster-certificate"] = b.cluster.Name, b.cluster.Endpoint, b.cluster.CABundle
	if dns := b.dns(); dns != "" && set["cluster-dns-ip"] == nil {
		set["cluster-dns-ip"] = dns
	}
	for _, key := range slices.Sorted(maps.Keys(b.spec.Kubelet)) {
		c, ok := bottlerocketSettings[key]
		if !ok {
			return notCarried(b.spec.Family(), key)
		}
		value, err := c.read(key, b.spec.Kubelet[key].Raw)
		if err != nil {
			return err
		}
		switch v := value.(type) {
		case nil:
			continue
		case []string:
			if key == "clusterDNS" && len(v) == 1 {
				value = v[0] // all versions take one address, and only late ones a list
			}
		case map[string]map[string]string:
			value = reservations(v)
		}
		set[c.name] = value
	}
	if b.maxPods > 0 {
		set["max-pods"] = b.maxPods
	}
	if own := ownLabels(b.labels); len(own) > 0 {
		labels, err := kubernetes.sub("node-labels")
		if err != nil {
			return err
		}
		for key, value := range own {
			labels.fields[key] = value
		}
	}
	return b.addTaints(kubernetes)
}

// reservations are what is reserved of NUMA nodes, as Bottlerocket has it.
func reservations(byNode map[string]map[string]string) map[string]any {
	out := map[string]any{}
	for node, limits := range byNode {
		fields := map[string]any{"enabled": true}
		for name, amount := range limits {
			fields[name] = amount
		}
		out[node] = fields
	}
	return out
}

// addTaints adds our taints to the user's, which are lists of value:effect by key. A
// node cannot register with two of one key and effect: ours counts.
func (b bootstrap) addTaints(kubernetes tomlTable) error {
	if len(b.taints) == 0 {
		return nil
	}
	taints, err := kubernetes.sub("node-taints")
	if err != nil {
		return err
	}
	for _, t := range b.taints {
		var have []any
		switch old := taints.fields[t.Key].(type) {
		case nil:
		case string: // how Bottlerocket had it at first, and still takes it
			have = []any{old}
		case []any:
			have = old
		default:
			return badUserData("%s.%q is not a list of texts", taints.path, t.Key)
		}
		have = slices.DeleteFunc(have, func(old any) bool {
			s, ok := old.(string)
			return ok && strings.HasSuffix(s, ":"+t.Effect)
		})
		taints.fields[t.Key] = append(have, t.Value+":"+t.Effect)
	}
	return nil
}

// stripeDisks is the command that makes one volume of the machine's own disks, and
// puts on it what pods write. Bottlerocket knows of itself what that is since 1.46;
// to others, and to images of which the version is not known, it is told.
func stripeDisks(image string) map[string]any {
	bind := []string{"apiclient", "ephemeral-storage", "bind"}
	if !bindsByDefault(image) {
		bind = append(bind, "--dirs", "/var/lib/containerd", "/var/lib/kubelet", "/var/log/pods")
	}
	return map[string]any{
		"commands":  [][]string{{"apiclient", "ephemeral-storage", "init"}, bind},
		"essential": true,
		"mode":      "always",
	}
}

// bindsByDefault reads the version off a name such as
// bottlerocket-aws-k8s-1.33-x86_64-v1.46.0-431fe75a.
func bindsByDefault(image string) bool {
	for word := range strings.SplitSeq(image, "-") {
		if version, ok := strings.CutPrefix(word, "v"); ok {
			numbers := strings.Split(version, ".")
			if len(numbers) != 3 {
				continue
			}
			major, _ := strconv.Atoi(numbers[0])
			minor, _ := strconv.Atoi(numbers[1])
			return major > 1 || major == 1 && minor >= 46
		}
	}
	return false
}

// A tomlTable is a table of a document, and where it stands.
type tomlTable struct {
	path   string
	fields map[string]any
}

// sub goes down into tables, which are made where there are none.
func (t tomlTable) sub(names ...string) (tomlTable, error) {
	for _, name := range names {
		path := strings.TrimPrefix(t.path+"."+name, ".")
		if t.fields[name] == nil {
			t.fields[name] = map[string]any{}
		}
		below, ok := t.fields[name].(map[string]any)
		if !ok {
			return tomlTable{}, badUserData("%s is not a table", path)
		}
		t = tomlTable{path, below}
	}
	return t, nil
}
