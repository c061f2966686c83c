package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/stowage-sh/stowage/provisioner/problem"
)

// settings are what flags and environment say. A flag of Karpenter's means here
// what it means there, and so does its environment variable: the flag's name in
// upper snake case. The flag goes before the variable.
type settings struct {
	kubeconfig string

	metricsPort, healthPort int
	bindAddress             string
	unobserved              bool
	kubeQPS                 float32
	kubeBurst               int
	profiling               bool
	logLevel                string
	memoryLimit             int64

	noDryRun               bool
	noLeaderElection       bool
	leaseName, leaseSpace  string
	batchMax, batchIdle    time.Duration
	preferencePolicy       string
	minValuesPolicy        string
	featureGates           string
	clusterName            string
	clusterEndpoint        string
	clusterCA, serviceCIDR string
	clusterVersion         string
	isolatedVPC            bool
	memoryOverhead         float64
	reservedENIs           int
	interruptionQueue      string
	rebalance              bool
	launchTimeout          time.Duration
	registrationTimeout    time.Duration
	repairToleration       time.Duration
	collectInterval        time.Duration
	collectAge             time.Duration
	catalogInterval        time.Duration
	priceInterval          time.Duration
	spotPriceWindow        time.Duration
	spotPriceDeviations    float64
	commitments            string
	spotInterruptions      string
	maxSteps               int64
	nominate               bool
	surge                  bool
	schedulers             []string
	schedulerConfig        string
	spreads                problem.DefaultSpreads // of schedulerConfig
}

// schedulerNamesUsage explains scheduler-names, minValuesUsage min-values-policy.
const (
	schedulerNamesUsage = "schedulers whose pods get nodes, by spec.schedulerName; default: all of them"
	minValuesUsage      = "Strict: a node whose offerings show fewer values than minValues is not bought; BestEffort: it is, with minValues lowered, for pods that find no place else"
)

// The values of preference-policy and of min-values-policy.
const (
	respect, ignore    = "Respect", "Ignore"
	strict, bestEffort = "Strict", "BestEffort"
)

// register binds the settings to flags. Defaults are Karpenter's.
func (s *settings) register(f *pflag.FlagSet) {
	f.StringVar(&s.kubeconfig, "kubeconfig", "", "kubeconfig file; empty for the Pod's own service account")
	f.IntVar(&s.metricsPort, "metrics-port", 8080, "port of /metrics; 0 for none")
	f.IntVar(&s.healthPort, "health-probe-port", 8081, "port of /healthz and /readyz; 0 for none")
	f.StringVar(&s.bindAddress, "bind-address", "", "address that both ports are served on; empty for all of them")
	f.BoolVar(&s.unobserved, "disable-cluster-state-observability", false, "leave out the metrics of single pods, nodes, NodePools and conditions")
	f.Float32Var(&s.kubeQPS, "kube-client-qps", 200, "requests per second to the API server")
	f.IntVar(&s.kubeBurst, "kube-client-burst", 300, "requests to the API server at once")
	f.BoolVar(&s.profiling, "enable-profiling", false, "serve /debug/pprof on the metrics port")
	f.StringVar(&s.logLevel, "log-level", "info", "debug, info, warn or error")
	f.Int64Var(&s.memoryLimit, "memory-limit", -1, "memory of the container in bytes; the garbage collector aims at 90 % of it")
	f.BoolVar(&s.noDryRun, "disable-dry-run", false, "do not ask EC2 by dry runs whether instances may be launched from an EC2NodeClass")
	f.BoolVar(&s.noLeaderElection, "disable-leader-election", false, "act without holding the Lease")
	f.StringVar(&s.leaseName, "leader-election-name", "karpenter-leader-election", "name of the Lease")
	f.StringVar(&s.leaseSpace, "leader-election-namespace", "", "namespace of the Lease; empty for the Pod's own")
	f.DurationVar(&s.batchMax, "batch-max-duration", 10*time.Second, "longest time that pods are gathered before they are solved")
	f.DurationVar(&s.batchIdle, "batch-idle-duration", time.Second, "time without a new pod after which they are solved")
	f.StringVar(&s.preferencePolicy, "preference-policy", respect, "Respect: what pods prefer is heard where it costs little; Ignore: it is left to kube-scheduler")
	f.StringVar(&s.minValuesPolicy, "min-values-policy", strict, minValuesUsage)
	f.StringSliceVar(&s.schedulers, "scheduler-names", nil, schedulerNamesUsage)
	f.StringVar(&s.schedulerConfig, "scheduler-config", "", schedulerConfigUsage)
	f.StringVar(&s.featureGates, "feature-gates", "", "Karpenter's gates, as in Name=false,Other=true; NodeOverlay, CapacityBuffer, StaticCapacity and ReservedCapacity are on unless false, NodeRepair is off unless true, and others change nothing")
	f.StringVar(&s.clusterName, "cluster-name", "", "name of the cluster (required)")
	f.StringVar(&s.clusterEndpoint, "cluster-endpoint", "", "URL of the API server for nodes; empty: asked of EKS")
	f.StringVar(&s.clusterCA, "cluster-ca-bundle", "", "certificate authority for nodes, base64; empty: asked of EKS")
	f.StringVar(&s.serviceCIDR, "cluster-service-cidr", "", "range of service addresses; empty: asked of EKS")
	f.StringVar(&s.clusterVersion, "cluster-version", "", "Kubernetes version of the nodes' images; empty: asked of the API server, every five minutes")
	f.BoolVar(&s.isolatedVPC, "isolated-vpc", false, "do not call the Price List API; the embedded prices serve")
	f.Float64Var(&s.memoryOverhead, "vm-memory-overhead-percent", 0.075, "share of an instance's memory that its system takes")
	f.IntVar(&s.reservedENIs, "reserved-enis", 0, "network interfaces of each instance that pods do not use")
	f.StringVar(&s.interruptionQueue, "interruption-queue", "", "name of the SQS queue that EventBridge puts interruption warnings into; empty for none")
	f.BoolVar(&s.rebalance, "replace-on-rebalance-recommendation", false, "replace nodes of which EC2 says in the interruption queue that it is likely to take them, as if they had drifted")
	f.DurationVar(&s.launchTimeout, "launch-timeout", 5*time.Minute, "time after which a NodeClaim without an instance is given up")
	f.DurationVar(&s.registrationTimeout, "registration-timeout", 15*time.Minute, "time after which an instance is given up that has not joined, or whose node has not become Ready")
	f.DurationVar(&s.repairToleration, "node-repair-toleration", 30*time.Minute, "longest time that a node may be unhealthy before it is replaced, if the feature gate NodeRepair is on; 10 minutes at most for accelerators")
	f.DurationVar(&s.collectInterval, "garbage-collection-interval", 2*time.Minute, "time between looks for instances without a NodeClaim, and the other way round")
	f.DurationVar(&s.collectAge, "garbage-collection-age", 30*time.Second, "age at which an instance without a NodeClaim is terminated")
	f.DurationVar(&s.catalogInterval, "instance-type-refresh-interval", 12*time.Hour, "time between refreshes of instance types")
	f.DurationVar(&s.priceInterval, "price-refresh-interval", 12*time.Hour, "time between refreshes of prices")
	f.DurationVar(&s.spotPriceWindow, "spot-price-window", 0, "time whose mean spot price decisions go by, up to a week; 0: the present price")
	f.Float64Var(&s.spotPriceDeviations, "spot-price-deviations", 0, "standard deviations of the spot price in --spot-price-window that decisions add to its mean, up to 10: the steadier of two prices counts as lower")
	f.StringVar(&s.commitments, "commitments", "", commitmentsUsage+"; a file is read anew every minute, the account every hour")
	f.StringVar(&s.spotInterruptions, "spot-interruptions", "", interruptionsUsage)
	f.Int64Var(&s.maxSteps, "max-steps", 0, "step budget of the solver; 0 for its own formula")
	f.BoolVar(&s.nominate, "nominate-pods", true, "tell kube-scheduler which node each pod was planned for")
	f.BoolVar(&s.surge, "surge-single-replicas", false, "roll a Deployment with one pod, in place of evicting it, where the annotation stowage.sh/surge asks for that")
}

// fromEnvironment fills in flags that were not given from the environment, and
// checks what the flags' types cannot.
func (s *settings) fromEnvironment(cmd *cobra.Command) error {
	var wrong error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		name := strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, set := os.LookupEnv(name)
		if !set || f.Changed || f.Name == "kubeconfig" || f.Name == "help" || wrong != nil {
			return
		}
		if err := f.Value.Set(value); err != nil {
			wrong = fmt.Errorf("environment variable %s: %w", name, err)
		}
	})
	if wrong != nil {
		return wrong
	}
	if s.kubeconfig == "" {
		s.kubeconfig = os.Getenv("KUBECONFIG")
	}
	if s.leaseSpace == "" {
		s.leaseSpace = ownNamespace()
	}
	return s.validate()
}

func (s *settings) validate() error {
	switch {
	case s.clusterName == "":
		return fmt.Errorf("--cluster-name (CLUSTER_NAME) is required")
	case s.batchIdle <= 0 || s.batchMax < s.batchIdle:
		return fmt.Errorf("--batch-idle-duration %s must be above 0 and at most --batch-max-duration %s", s.batchIdle, s.batchMax)
	case s.shortest() <= 0:
		return fmt.Errorf("timeouts and intervals must be above 0; one is %s", s.shortest())
	case s.memoryOverhead < 0 || s.memoryOverhead >= 1:
		return fmt.Errorf("--vm-memory-overhead-percent: %v is not in [0, 1)", s.memoryOverhead)
	case s.spotPriceWindow < 0 || s.spotPriceWindow > 7*24*time.Hour:
		return fmt.Errorf("--spot-price-window: %s is not between 0 and 168h", s.spotPriceWindow)
	case !(s.spotPriceDeviations >= 0 && s.spotPriceDeviations <= 10): // NaN is not, either
		return fmt.Errorf("--spot-price-deviations: %v is not between 0 and 10", s.spotPriceDeviations)
	case s.spotPriceDeviations > 0 && s.spotPriceWindow == 0:
		return fmt.Errorf("--spot-price-deviations: %v needs a time to deviate in, such as --spot-price-window=24h", s.spotPriceDeviations)
	case s.leaseSpace == "":
		return fmt.Errorf("--leader-election-namespace is required outside a Pod")
	}
	if _, err := s.gates(); err != nil {
		return err
	}
	var err error
	if s.spreads, err = readSchedulerConfig(s.schedulerConfig); err != nil {
		return err
	}
	return checkPolicies(s.preferencePolicy, s.minValuesPolicy)
}

// gates reads the feature gates, by name; unknown names are nobody's business.
func (s *settings) gates() (map[string]bool, error) {
	gates := map[string]bool{}
	for word := range strings.SplitSeq(s.featureGates, ",") {
		if word = strings.TrimSpace(word); word == "" {
			continue
		}
		name, value, _ := strings.Cut(word, "=")
		on, err := strconv.ParseBool(strings.TrimSpace(value))
		if err != nil {
			return nil, fmt.Errorf("--feature-gates: %q is not of the form Name=true or Name=false", word)
		}
		gates[strings.TrimSpace(name)] = on
	}
	return gates, nil
}

// gate reports whether a feature gate is on; otherwise says what holds if it is not
// given.
func (s *settings) gate(name string, otherwise bool) bool {
	gates, _ := s.gates() // validate has read them
	if on, given := gates[name]; given {
		return on
	}
	return otherwise
}

// checkPolicies refuses what is no value of preference-policy or of min-values-policy.
func checkPolicies(preference, minValues string) error {
	switch {
	case preference != respect && preference != ignore:
		return fmt.Errorf("--preference-policy: %q is neither Ignore nor Respect", preference)
	case minValues != strict && minValues != bestEffort:
		return fmt.Errorf("--min-values-policy: %q is neither BestEffort nor Strict", minValues)
	}
	return nil
}

// shortest returns the shortest of the timeouts and intervals.
func (s *settings) shortest() time.Duration {
	return min(s.launchTimeout, s.registrationTimeout, s.repairToleration, s.collectInterval, s.collectAge, s.catalogInterval, s.priceInterval)
}

// unread are environment variables of Karpenter's settings that have no flag here
// yet.
var unread = []string{"IGNORE_DRA_REQUESTS", "EKS_CONTROL_PLANE", "ENABLE_ZONAL_SHIFT",
	"AMI_REFRESH_INTERVAL", "SUBNET_REFRESH_INTERVAL", "AWS_FEATURE_GATES"}

// ignored lists the settings that were given and have no effect yet, so that the
// log says it rather than that nobody does.
func (s *settings) ignored() []string {
	var names []string
	gates, _ := s.gates() // validate has read them
	for _, name := range slices.Sorted(maps.Keys(gates)) {
		if !slices.Contains(gatesRead, name) {
			names = append(names, "feature-gates "+name)
		}
	}
	for _, name := range unread {
		if _, set := os.LookupEnv(name); set {
			names = append(names, name)
		}
	}
	return names
}

// ownNamespace returns the namespace of the Pod that this runs in, or "".
func ownNamespace() string {
	if ns := os.Getenv("SYSTEM_NAMESPACE"); ns != "" {
		return ns
	}
	ns, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(ns))
}
