package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestSchedulerConfig(t *testing.T) {
	const spread = "{maxSkew: 2, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}"
	ours := func(list string) string { return "podTopologySpread: {defaultConstraints: [" + list + "]}" }
	full := func(args string) string {
		return "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nprofiles:\n- pluginConfig:\n  - {name: NodeAffinity, args: {}}\n" +
			"- {schedulerName: other, pluginConfig: [{name: PodTopologySpread, args: " + args + "}]}\n"
	}
	for _, c := range []struct{ name, text, want, wrong string }{
		{"none", "", "", ""},
		{"Karpenter's form", ours(spread), "/zone 2", ""},
		{"Karpenter's form, empty", ours(""), "", ""},
		{"kube-scheduler's form", full("{defaultingType: List, defaultConstraints: [" + spread + "]}"), "other/zone 2", ""},
		{"kube-scheduler's own defaults", full("{defaultingType: System}"), "", ""},
		{"no defaulting type", full("{defaultConstraints: [" + spread + "]}"), "", "profiles[1].pluginConfig[0].args.defaultingType: Invalid"},
		{"unknown defaulting type", full("{defaultingType: Lists}"), "", "defaultingType: Unsupported value"},
		{"unknown field of the plugin", full("{defaultConstraint: []}"), "", `profiles[1].pluginConfig[0].args: error unmarshaling JSON: while decoding JSON: json: unknown field "defaultConstraint"`},
		{"unknown field", "podTopologySpreads: {}", "", `unknown field "podTopologySpreads"`},
		{"a file's name", "scheduler.yaml", "", "cannot unmarshal string"},
		{"another kind", "{apiVersion: v1, kind: Pod}", "", "it is a Pod of v1"},
		{"no skew", ours("{topologyKey: zone, whenUnsatisfiable: DoNotSchedule}"), "", "podTopologySpread.defaultConstraints[0].maxSkew"},
		{"no key", ours("{maxSkew: 1, whenUnsatisfiable: DoNotSchedule}"), "", "defaultConstraints[0].topologyKey"},
		{"no action", ours("{maxSkew: 1, topologyKey: zone}"), "", "defaultConstraints[0].whenUnsatisfiable"},
		{"a selector", ours("{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {}}"), "", "defaultConstraints[0].labelSelector: Forbidden"},
		{"twice", ours(spread + ", " + spread), "", "defaultConstraints[1]: Duplicate"},
	} {
		spreads, err := readSchedulerConfig(c.text)
		if c.wrong != "" {
			if err == nil || !strings.HasPrefix(err.Error(), "--scheduler-config: ") || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%s: error %v, want %q", c.name, err, c.wrong)
			}
			continue
		}
		got := ""
		for scheduler, list := range spreads {
			for _, s := range list {
				got += fmt.Sprintf("%s/%s %d", scheduler, s.TopologyKey, s.MaxSkew)
			}
		}
		if err != nil || got != c.want {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		}
	}
}
