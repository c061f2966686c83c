package main

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	configv1 "k8s.io/kube-scheduler/config/v1"
	"sigs.k8s.io/yaml"

	"github.com/stowage-sh/stowage/provisioner/problem"
)

// schedulerConfigUsage is the help of --scheduler-config.
const schedulerConfigUsage = "`YAML` of a KubeSchedulerConfiguration, or of podTopologySpread.defaultConstraints alone: the spreads of pods that have none; the rest is not looked at"

// readSchedulerConfig reads the default spreads out of a configuration of kube-scheduler, in its
// own form, by profile, or in Karpenter's, for all pods:
//
//	podTopologySpread:
//	  defaultConstraints:
//	  - {maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule}
func readSchedulerConfig(text string) (problem.DefaultSpreads, error) {
	spreads, err := defaultSpreads([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("--scheduler-config: %w", err)
	}
	return spreads, nil
}

func defaultSpreads(text []byte) (problem.DefaultSpreads, error) {
	var head metav1.TypeMeta
	if err := yaml.Unmarshal(text, &head); err != nil {
		return nil, err
	}
	spreads := problem.DefaultSpreads{}
	if head == (metav1.TypeMeta{}) {
		var c struct {
			PodTopologySpread configv1.PodTopologySpreadArgs `json:"podTopologySpread"`
		}
		c.PodTopologySpread.DefaultingType = configv1.ListDefaulting
		if err := yaml.UnmarshalStrict(text, &c); err != nil {
			return nil, err
		}
		return spreads, addSpreads(spreads, "", field.NewPath("podTopologySpread"), &c.PodTopologySpread)
	}
	if want := (metav1.TypeMeta{APIVersion: "kubescheduler.config.k8s.io/v1", Kind: "KubeSchedulerConfiguration"}); head != want {
		return nil, fmt.Errorf("it is a %s of %s, not a %s of %s", head.Kind, head.APIVersion, want.Kind, want.APIVersion)
	}
	var c configv1.KubeSchedulerConfiguration
	if err := yaml.UnmarshalStrict(text, &c); err != nil {
		return nil, err
	}
	for i, profile := range c.Profiles {
		name := corev1.DefaultSchedulerName
		if profile.SchedulerName != nil {
			name = *profile.SchedulerName
		}
		for j, plugin := range profile.PluginConfig {
			if plugin.Name != "PodTopologySpread" {
				continue
			}
			at := field.NewPath("profiles").Index(i).Child("pluginConfig").Index(j).Child("args")
			args := configv1.PodTopologySpreadArgs{DefaultingType: configv1.SystemDefaulting}
			if err := yaml.UnmarshalStrict(plugin.Args.Raw, &args); err != nil {
				return nil, fmt.Errorf("%s: %w", at, err)
			}
			if err := addSpreads(spreads, name, at, &args); err != nil {
				return nil, err
			}
		}
	}
	return spreads, nil
}

// addSpreads adds the spreads of one scheduler, if kube-scheduler would take them.
func addSpreads(spreads problem.DefaultSpreads, scheduler string, at *field.Path, args *configv1.PodTopologySpreadArgs) error {
	var problems field.ErrorList
	types := []configv1.PodTopologySpreadConstraintsDefaulting{configv1.ListDefaulting, configv1.SystemDefaulting}
	switch kind := at.Child("defaultingType"); {
	case !slices.Contains(types, args.DefaultingType):
		problems = append(problems, field.NotSupported(kind, args.DefaultingType, types))
	case args.DefaultingType != configv1.ListDefaulting && len(args.DefaultConstraints) > 0:
		problems = append(problems, field.Invalid(kind, args.DefaultingType, "must be List where there are defaultConstraints"))
	}
	list := at.Child("defaultConstraints")
	actions := []corev1.UnsatisfiableConstraintAction{corev1.DoNotSchedule, corev1.ScheduleAnyway}
	for i, c := range args.DefaultConstraints {
		at := list.Index(i)
		if c.MaxSkew < 1 {
			problems = append(problems, field.Invalid(at.Child("maxSkew"), c.MaxSkew, "must be at least 1"))
		}
		problems = append(problems, metavalidation.ValidateLabelName(c.TopologyKey, at.Child("topologyKey"))...)
		if !slices.Contains(actions, c.WhenUnsatisfiable) {
			problems = append(problems, field.NotSupported(at.Child("whenUnsatisfiable"), c.WhenUnsatisfiable, actions))
		}
		if c.LabelSelector != nil {
			problems = append(problems, field.Forbidden(at.Child("labelSelector"), "it follows from the Services and the controller of each pod"))
		}
		for _, other := range args.DefaultConstraints[:i] {
			if c.TopologyKey == other.TopologyKey && c.WhenUnsatisfiable == other.WhenUnsatisfiable {
				problems = append(problems, field.Duplicate(at, c.TopologyKey+" "+string(c.WhenUnsatisfiable)))
			}
		}
	}
	if len(args.DefaultConstraints) > 0 {
		spreads[scheduler] = args.DefaultConstraints
	}
	return problems.ToAggregate() // nil where there are none
}
