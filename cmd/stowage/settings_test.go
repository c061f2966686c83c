package main

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// parse reads flags and environment as the controller command does.
func parse(t *testing.T, env map[string]string, args ...string) (*settings, error) {
	t.Helper()
	t.Setenv("SYSTEM_NAMESPACE", "kube-system")
	for name, value := range env {
		t.Setenv(name, value)
	}
	s := &settings{}
	cmd := &cobra.Command{}
	s.register(cmd.Flags())
	if err := cmd.ParseFlags(args); err != nil {
		return nil, err
	}
	return s, s.fromEnvironment(cmd)
}

func TestFlagsGoBeforeTheEnvironment(t *testing.T) {
	s, err := parse(t, map[string]string{"CLUSTER_NAME": "from-env", "BATCH_IDLE_DURATION": "2s", "BATCH_MAX_DURATION": "20s", "DISABLE_LEADER_ELECTION": "true"},
		"--cluster-name", "from-flag")
	if err != nil {
		t.Fatal(err)
	}
	if s.clusterName != "from-flag" || s.batchIdle != 2*time.Second || s.batchMax != 20*time.Second || !s.noLeaderElection {
		t.Errorf("got %+v", s)
	}
	if s.leaseSpace != "kube-system" || s.leaseName != "karpenter-leader-election" {
		t.Errorf("the Lease is %s/%s", s.leaseSpace, s.leaseName)
	}
}

func TestSettingsThatCannotBe(t *testing.T) {
	for name, test := range map[string]struct {
		env  map[string]string
		args []string
		want string
	}{
		"no cluster":        {nil, nil, "--cluster-name (CLUSTER_NAME) is required"},
		"bad variable":      {map[string]string{"BATCH_IDLE_DURATION": "soon"}, []string{"--cluster-name=c"}, "environment variable BATCH_IDLE_DURATION"},
		"idle beyond max":   {nil, []string{"--cluster-name=c", "--batch-idle-duration=1m"}, "--batch-idle-duration 1m0s must be above 0 and at most --batch-max-duration 10s"},
		"preference policy": {nil, []string{"--cluster-name=c", "--preference-policy=Perhaps"}, `--preference-policy: "Perhaps" is neither Ignore nor Respect`},
		"min values policy": {map[string]string{"MIN_VALUES_POLICY": "besteffort"}, []string{"--cluster-name=c"}, `--min-values-policy: "besteffort" is neither BestEffort nor Strict`},
		"no time at all":    {nil, []string{"--cluster-name=c", "--price-refresh-interval=0s"}, "timeouts and intervals must be above 0; one is 0s"},
		"negative time":     {nil, []string{"--cluster-name=c", "--launch-timeout=-1m"}, "must be above 0; one is -1m0s"},
		"scheduler config":  {map[string]string{"SCHEDULER_CONFIG": "podTopologySpread: {defaultConstraints: [{maxSkew: 0}]}"}, []string{"--cluster-name=c"}, "--scheduler-config: [podTopologySpread.defaultConstraints[0].maxSkew: "},
		"gate without one":  {map[string]string{"FEATURE_GATES": "Drift=True,NodeOverlay"}, []string{"--cluster-name=c"}, `--feature-gates: "NodeOverlay" is not of the form Name=true or Name=false`},
		"spot deviations":   {nil, []string{"--cluster-name=c", "--spot-price-deviations=1"}, "--spot-price-deviations: 1 needs a time to deviate in, such as --spot-price-window=24h"},
		"below the mean":    {nil, []string{"--cluster-name=c", "--spot-price-window=24h", "--spot-price-deviations=-1"}, "--spot-price-deviations: -1 is not between 0 and 10"},
		"no number":         {map[string]string{"SPOT_PRICE_WINDOW": "24h", "SPOT_PRICE_DEVIATIONS": "NaN"}, []string{"--cluster-name=c"}, "--spot-price-deviations: NaN is not between 0 and 10"},
		"memory overhead":   {nil, []string{"--cluster-name=c", "--vm-memory-overhead-percent=7.5"}, "--vm-memory-overhead-percent: 7.5 is not in [0, 1)"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(t, test.env, test.args...)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

// TestAddresses are in the form that controller-runtime takes.
func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		bind string
		port int
		want string
	}{{"", 8080, ":8080"}, {"127.0.0.1", 8081, "127.0.0.1:8081"}, {"::1", 80, "[::1]:80"}, {"127.0.0.1", 0, "0"}} {
		s, err := parse(t, map[string]string{"BIND_ADDRESS": c.bind}, "--cluster-name=c")
		if err != nil {
			t.Fatal(err)
		}
		if got := s.address(c.port); got != c.want {
			t.Errorf("port %d of %q is %q, want %q", c.port, c.bind, got, c.want)
		}
	}
}

func TestSettingsWithoutEffectAreNamed(t *testing.T) {
	s, err := parse(t, map[string]string{"FEATURE_GATES": "NodeOverlay=true,NodeRepair=true,StaticCapacity=true,SpotToSpotConsolidation=true,Drift=True", "INTERRUPTION_QUEUE": "q", "PREFERENCE_POLICY": "Respect", "EKS_CONTROL_PLANE": "true", "HELP": "abc"}, "--cluster-name=c")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.ignored(), " "); got != "feature-gates Drift feature-gates SpotToSpotConsolidation EKS_CONTROL_PLANE" {
		t.Errorf("named %q", got)
	}
}

// TestNodeOverlayGate: the gate counts where it is given, and is on where it is not.
func TestNodeOverlayGate(t *testing.T) {
	for gates, want := range map[string]bool{
		"": true, "Drift=True": true, "NodeOverlay=true": true, "NodeOverlay=false": false, " Drift=True, NodeOverlay=False ,": false,
		"nodeoverlay=false": true,
	} {
		s, err := parse(t, map[string]string{"FEATURE_GATES": gates}, "--cluster-name=c")
		if err != nil {
			t.Fatal(err)
		}
		if got := s.gate(gateNodeOverlay, true); got != want {
			t.Errorf("with %q the gate is on: %v", gates, got)
		}
	}
}

// TestGatesByDefault: static NodePools are kept unless the gate is off, nodes are
// repaired only if it is on.
func TestGatesByDefault(t *testing.T) {
	for gates, want := range map[string][2]bool{
		"": {true, false}, "StaticCapacity=false": {false, false}, "NodeRepair=true": {true, true}, "NodeRepair=false,StaticCapacity=true": {true, false},
	} {
		s, err := parse(t, map[string]string{"FEATURE_GATES": gates}, "--cluster-name=c")
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]bool{s.gate(gateStaticCapacity, true), s.gate(gateNodeRepair, false)}; got != want {
			t.Errorf("with %q they are on: %v, want %v", gates, got, want)
		}
	}
}
