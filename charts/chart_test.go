package charts_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/stowage-sh/stowage/charts"
	"github.com/stowage-sh/stowage/pricing"
)

// functions are those of Helm's that the templates use.
var functions = template.FuncMap{
	"quote": func(v any) string { return fmt.Sprintf("%q", fmt.Sprint(v)) },
	"default": func(otherwise, v any) any {
		if v == "" || v == nil {
			return otherwise
		}
		return v
	},
	"required": func(message string, v any) (any, error) {
		if v == "" || v == nil {
			return nil, errors.New(message)
		}
		return v, nil
	},
	"kindIs": func(kind string, v any) bool { return reflect.TypeOf(v).Kind().String() == kind },
	"toJson": func(v any) (string, error) {
		data, err := json.Marshal(v)
		return string(data), err
	},
	"toYaml": func(v any) (string, error) {
		data, err := yaml.Marshal(v)
		return strings.TrimSuffix(string(data), "\n"), err
	},
	"nindent": func(n int, s string) string {
		indent := "\n" + strings.Repeat(" ", n)
		return indent + strings.ReplaceAll(s, "\n", indent)
	},
}

// render renders the chart as Helm would, with edits to its values, and reads
// each object strictly as the type it says it is, by kind and name.
func render(t *testing.T, edit func(values map[string]any)) (map[string]runtime.Object, error) {
	t.Helper()
	chart, values := map[string]any{}, map[string]any{}
	read(t, "stowage/Chart.yaml", &chart)
	read(t, "stowage/values.yaml", &values)
	if edit != nil {
		edit(values)
	}
	files, err := filepath.Glob("stowage/templates/*")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]runtime.Object{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := template.New(file).Funcs(functions).Option("missingkey=error").Parse(string(text))
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		err = parsed.Execute(&b, map[string]any{
			"Release": map[string]any{"Namespace": "boats"},
			"Chart":   map[string]any{"AppVersion": chart["appVersion"]},
			"Values":  values,
		})
		if err != nil {
			return nil, err
		}
		for document := range strings.SplitSeq(b.String(), "\n---\n") {
			if strings.TrimSpace(document) == "" {
				continue
			}
			name, object := decode(t, file, document)
			all[name] = object
		}
	}
	return all, nil
}

func read(t *testing.T, file string, into any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(data, into); err != nil {
		t.Fatalf("reading %s: %v", file, err)
	}
}

func decode(t *testing.T, file, document string) (name string, object runtime.Object) {
	t.Helper()
	var head struct {
		APIVersion, Kind string
		Metadata         struct{ Name string }
	}
	if err := yaml.Unmarshal([]byte(document), &head); err != nil {
		t.Fatalf("reading %s: %v\n%s", file, err, document)
	}
	gv, rest, _ := strings.Cut(head.APIVersion, "/")
	gvk := corev1.SchemeGroupVersion.WithKind(head.Kind)
	if rest != "" {
		gvk.Group, gvk.Version = gv, rest
	}
	object, err := scheme.Scheme.New(gvk)
	if err != nil {
		t.Fatalf("reading %s: %v", file, err)
	}
	if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
		t.Fatalf("reading %s: %v\n%s", file, err, document)
	}
	return head.Kind + "/" + head.Metadata.Name, object
}

func setCluster(values map[string]any) {
	values["settings"].(map[string]any)["clusterName"] = "harbour"
}

// TestChart renders the chart with little more than its own values.
func TestChart(t *testing.T) {
	objects, err := render(t, setCluster)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"ClusterRole/stowage", "ClusterRole/stowage-admin", "ClusterRole/stowage-view", "ClusterRoleBinding/stowage",
		"Deployment/stowage", "PodDisruptionBudget/stowage", "Role/stowage", "RoleBinding/stowage", "Service/stowage", "ServiceAccount/stowage",
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(objects))); diff != "" {
		t.Fatalf("objects -want +got:\n%s", diff)
	}
	deployment := objects["Deployment/stowage"].(*appsv1.Deployment)
	pod := deployment.Spec.Template
	container := pod.Spec.Containers[0]
	budget := objects["PodDisruptionBudget/stowage"].(*policyv1.PodDisruptionBudget)
	for what, ok := range map[string]bool{
		"namespace":       deployment.Namespace == "boats",
		"replicas":        *deployment.Spec.Replicas == 2,
		"strategy":        deployment.Spec.Strategy.RollingUpdate.MaxUnavailable.IntValue() == 1,
		"selector":        cmp.Equal(deployment.Spec.Selector.MatchLabels, pod.Labels) && cmp.Equal(budget.Spec.Selector, deployment.Spec.Selector),
		"budget":          budget.Spec.MaxUnavailable.IntValue() == 1,
		"priority":        pod.Spec.PriorityClassName == "system-cluster-critical",
		"service account": pod.Spec.ServiceAccountName == charts.ServiceAccount,
		"own nodes":       pod.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms[0].MatchExpressions[0].Key == "karpenter.sh/nodepool",
		"one per node":    cmp.Equal(pod.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].LabelSelector, deployment.Spec.Selector),
		"over zones":      cmp.Equal(pod.Spec.TopologySpreadConstraints[0].LabelSelector, deployment.Spec.Selector),
		"container":       container.Name == "controller" && cmp.Equal(container.Args, []string{"controller"}),
		"image":           container.Image == "stowage-sh/stowage:0.1.0",
		"user":            *container.SecurityContext.RunAsUser == 65532 && *container.SecurityContext.ReadOnlyRootFilesystem,
		"no resources":    len(container.Resources.Requests)+len(container.Resources.Limits) == 0,
		"metrics port":    container.Ports[0].Name == "http-metrics" && container.Ports[0].ContainerPort == 8080,
		"health port":     container.Ports[1].Name == "http" && container.Ports[1].ContainerPort == 8081,
		"minValues":       slices.Contains(container.Env, corev1.EnvVar{Name: "MIN_VALUES_POLICY", Value: "Strict"}),
		"overlays":        slices.Contains(container.Env, corev1.EnvVar{Name: "FEATURE_GATES", Value: "NodeOverlay=true,CapacityBuffer=true,StaticCapacity=true,NodeRepair=false,ReservedCapacity=true"}),
		"cluster":         slices.Contains(container.Env, corev1.EnvVar{Name: "CLUSTER_NAME", Value: "harbour"}),
	} {
		if !ok {
			t.Errorf("the deployment is wrong about: %s", what)
		}
	}
}

// TestChartValues renders the chart with everything set that is empty by default.
func TestChartValues(t *testing.T) {
	if _, err := render(t, nil); err == nil || !strings.Contains(err.Error(), "settings.clusterName must be set") {
		t.Errorf("without a cluster's name: %v", err)
	}
	objects, err := render(t, func(values map[string]any) {
		setCluster(values)
		values["serviceAccount"] = map[string]any{"create": false, "name": "karpenter", "annotations": map[string]any{}}
		values["image"] = map[string]any{"repository": "example.com/stowage", "tag": "x", "digest": "sha256:abc"}
		values["podLabels"] = map[string]any{"team": "boats"}
		values["podAnnotations"] = map[string]any{"a": "b"}
		values["imagePullSecrets"] = []any{map[string]any{"name": "secret"}}
		settings := values["settings"].(map[string]any)
		settings["minValuesPolicy"] = "BestEffort"
		settings["featureGates"] = map[string]any{"nodeOverlay": false, "capacityBuffer": false, "staticCapacity": false, "nodeRepair": true, "reservedCapacity": false}
		settings["clusterEndpoint"], settings["clusterCABundle"] = "https://example.com", "Q0E="
		settings["interruptionQueue"] = "prod"
		settings["spotPriceWindow"], settings["spotPriceDeviations"] = "24h", 0.5
		controller := values["controller"].(map[string]any)
		controller["env"] = []any{map[string]any{"name": "AWS_REGION", "value": "us-east-1"}}
		controller["envFrom"] = []any{map[string]any{"secretRef": map[string]any{"name": "more"}}}
		controller["resources"] = map[string]any{"requests": map[string]any{"cpu": "1"}}
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := objects["ServiceAccount/karpenter"]; ok {
		t.Error("the service account is made, though it is not to be")
	}
	for _, rule := range objects["ClusterRole/stowage"].(*rbacv1.ClusterRole).Rules {
		if slices.Contains(rule.APIGroups, "autoscaling.x-k8s.io") || slices.Contains(rule.Resources, "deployments") || slices.Contains(rule.Resources, "resourcequotas") {
			t.Errorf("without CapacityBuffers the controller may %v %v", rule.Verbs, rule.Resources)
		}
	}
	binding := objects["ClusterRoleBinding/stowage"].(*rbacv1.ClusterRoleBinding)
	pod := objects["Deployment/stowage"].(*appsv1.Deployment).Spec.Template
	container := pod.Spec.Containers[0]
	for what, ok := range map[string]bool{
		"subject":     binding.Subjects[0].Name == "karpenter" && pod.Spec.ServiceAccountName == "karpenter",
		"image":       container.Image == "example.com/stowage@sha256:abc",
		"labels":      pod.Labels["team"] == "boats" && pod.Labels["app.kubernetes.io/name"] == "stowage",
		"annotations": pod.Annotations["a"] == "b",
		"secret":      pod.Spec.ImagePullSecrets[0].Name == "secret",
		"endpoint":    slices.Contains(container.Env, corev1.EnvVar{Name: "CLUSTER_ENDPOINT", Value: "https://example.com"}),
		"bundle":      slices.Contains(container.Env, corev1.EnvVar{Name: "CLUSTER_CA_BUNDLE", Value: "Q0E="}),
		"queue":       slices.Contains(container.Env, corev1.EnvVar{Name: "INTERRUPTION_QUEUE", Value: "prod"}),
		"window":      slices.Contains(container.Env, corev1.EnvVar{Name: "SPOT_PRICE_WINDOW", Value: "24h"}),
		"deviations":  slices.Contains(container.Env, corev1.EnvVar{Name: "SPOT_PRICE_DEVIATIONS", Value: "0.5"}),
		"minValues":   slices.Contains(container.Env, corev1.EnvVar{Name: "MIN_VALUES_POLICY", Value: "BestEffort"}),
		"gates":       slices.Contains(container.Env, corev1.EnvVar{Name: "FEATURE_GATES", Value: "NodeOverlay=false,CapacityBuffer=false,StaticCapacity=false,NodeRepair=true,ReservedCapacity=false"}),
		"env":         container.Env[len(container.Env)-1].Name == "AWS_REGION",
		"envFrom":     container.EnvFrom[0].SecretRef.Name == "more",
		"resources":   container.Resources.Requests.Cpu().Value() == 1,
	} {
		if !ok {
			t.Errorf("the values do not arrive: %s", what)
		}
	}
}

// TestRightsThatFollowSettings: what the controller is told not to do it loses the right to, and
// that alone.
func TestRightsThatFollowSettings(t *testing.T) {
	for _, setting := range []struct{ value, variable, resource string }{
		{"nominatePods", "NOMINATE_PODS", "pods/status"},
		{"surgeSingleReplicas", "SURGE_SINGLE_REPLICAS", "deployments"},
	} {
		rules := func(on bool) (left []rbacv1.PolicyRule, patches int, told string) {
			objects, err := render(t, func(values map[string]any) {
				setCluster(values)
				values["settings"].(map[string]any)[setting.value] = on
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range objects["ClusterRole/stowage"].(*rbacv1.ClusterRole).Rules {
				if slices.Contains(r.Resources, setting.resource) && slices.Contains(r.Verbs, "patch") {
					patches++
					continue
				}
				left = append(left, r)
			}
			for _, e := range objects["Deployment/stowage"].(*appsv1.Deployment).Spec.Template.Spec.Containers[0].Env {
				if e.Name == setting.variable {
					told = e.Value
				}
			}
			return left, patches, told
		}
		with, patches, told := rules(true)
		if patches != 1 || told != "true" {
			t.Errorf("with %s, %d rules let %s be patched, and %s is %q", setting.value, patches, setting.resource, setting.variable, told)
		}
		without, patches, told := rules(false)
		if patches != 0 || told != "false" {
			t.Errorf("without %s, %d rules let %s be patched, and %s is %q", setting.value, patches, setting.resource, setting.variable, told)
		}
		if diff := cmp.Diff(with, without); diff != "" {
			t.Errorf("the other rules -with +without %s:\n%s", setting.value, diff)
		}
	}
}

// readable is what the controller may read: what it watches, and leases. A kind
// comes here together with the code that reads it.
var readable = []string{
	"apps/daemonsets", "apps/replicasets", "apps/statefulsets", "autoscaling.x-k8s.io/capacitybuffers", "coordination.k8s.io/leases",
	"karpenter.k8s.aws/ec2nodeclasses", "karpenter.sh/nodeclaims", "karpenter.sh/nodeoverlays", "karpenter.sh/nodepools", "namespaces", "node.k8s.io/runtimeclasses", "nodes", "persistentvolumeclaims", "persistentvolumes", "pods",
	"policy/poddisruptionbudgets",
	"replicationcontrollers", "resourcequotas", "services",
	"storage.k8s.io/csidrivers", "storage.k8s.io/csinodes", "storage.k8s.io/storageclasses", "storage.k8s.io/volumeattachments",
}

// TestRBAC: what tests and the demo apply is what Helm applies, and it grants no
// more than is named.
func TestRBAC(t *testing.T) {
	rendered, err := render(t, setCluster)
	if err != nil {
		t.Fatal(err)
	}
	roles, err := charts.RBAC("boats")
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range roles {
		want := rendered[u.GetKind()+"/"+u.GetName()]
		got := want.DeepCopyObject()
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(u.Object, got, true); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s %s -Helm +RBAC:\n%s", u.GetKind(), u.GetName(), diff)
		}
	}
	if len(roles) != 4 {
		t.Fatalf("%d objects, want two roles and two bindings", len(roles))
	}
	var reads []string
	for _, rule := range rendered["ClusterRole/stowage"].(*rbacv1.ClusterRole).Rules {
		if slices.Contains(rule.Verbs, "list") {
			for _, resource := range rule.Resources {
				reads = append(reads, strings.TrimPrefix(rule.APIGroups[0]+"/"+resource, "/"))
			}
		}
		for _, word := range slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs) {
			if word == "*" || word == "update" || word == "deletecollection" || word == "secrets" {
				t.Errorf("the controller may %v %v of %v", rule.Verbs, rule.Resources, rule.APIGroups)
			}
		}
	}
	slices.Sort(reads)
	if diff := cmp.Diff(readable, reads); diff != "" {
		t.Errorf("what the controller may read -want +got:\n%s", diff)
	}
}

// TestCommitments: what the values have of them becomes the file that the controller reads.
func TestCommitments(t *testing.T) {
	all, err := render(t, func(values map[string]any) {
		settings := values["settings"].(map[string]any)
		settings["clusterName"] = "c"
		settings["commitments"] = []any{map[string]any{"name": "plan", "kind": "ComputeSavingsPlan", "dollarsPerHour": 2.5, "discount": "27%"}}
	})
	if err != nil {
		t.Fatal(err)
	}
	text := all["ConfigMap/stowage-commitments"].(*corev1.ConfigMap).Data["commitments.yaml"]
	read, err := pricing.ReadCommitments(strings.NewReader(text), "the ConfigMap", "us-east-1", time.Time{})
	if err != nil || len(read.Commitments) != 1 || read.Commitments[0].Amount != 2_500_000 {
		t.Errorf("%v, %v, read from\n%s", read, err, text)
	}
	pod := all["Deployment/stowage"].(*appsv1.Deployment).Spec.Template.Spec
	mount := pod.Containers[0].VolumeMounts[0]
	if mount.Name != pod.Volumes[0].Name || pod.Volumes[0].ConfigMap.Name != "stowage-commitments" {
		t.Errorf("mount %v of %v", mount, pod.Volumes)
	}
	if !slices.Contains(pod.Containers[0].Env, corev1.EnvVar{Name: "COMMITMENTS", Value: mount.MountPath + "/commitments.yaml"}) {
		t.Errorf("COMMITMENTS is not the file in %s", mount.MountPath)
	}
}

// TestCommitmentsOfAccount: the account's are no file.
func TestCommitmentsOfAccount(t *testing.T) {
	all, err := render(t, func(values map[string]any) {
		setCluster(values)
		values["settings"].(map[string]any)["commitments"] = "account"
	})
	if err != nil {
		t.Fatal(err)
	}
	pod := all["Deployment/stowage"].(*appsv1.Deployment).Spec.Template.Spec
	if !slices.Contains(pod.Containers[0].Env, corev1.EnvVar{Name: "COMMITMENTS", Value: "account"}) {
		t.Errorf("COMMITMENTS is not account in %v", pod.Containers[0].Env)
	}
	if all["ConfigMap/stowage-commitments"] != nil || len(pod.Volumes)+len(pod.Containers[0].VolumeMounts) > 0 {
		t.Errorf("there is a file: %v", pod.Volumes)
	}
}

// TestSpotInterruptions: the JSON in the values becomes the file that the controller reads, as it is.
func TestSpotInterruptions(t *testing.T) {
	const data = "{\"spot_advisor\": {\"us-east-1\": {\"Linux\": {\n\"m5.large\": {\"s\": 70, \"r\": 1}}}}}"
	all, err := render(t, func(values map[string]any) {
		setCluster(values)
		values["settings"].(map[string]any)["spotInterruptions"] = data
	})
	if err != nil {
		t.Fatal(err)
	}
	text := all["ConfigMap/stowage-spot-interruptions"].(*corev1.ConfigMap).Data["spot-advisor-data.json"]
	if _, err := pricing.ReadInterruptions(strings.NewReader(text), "the ConfigMap", "us-east-1"); err != nil || text != data {
		t.Errorf("%v, of %s", err, text)
	}
	pod := all["Deployment/stowage"].(*appsv1.Deployment).Spec.Template.Spec
	mount := pod.Containers[0].VolumeMounts[0]
	if len(pod.Volumes) != 1 || mount.Name != pod.Volumes[0].Name || pod.Volumes[0].ConfigMap.Name != "stowage-spot-interruptions" {
		t.Errorf("mount %v of %v", mount, pod.Volumes)
	}
	if !slices.Contains(pod.Containers[0].Env, corev1.EnvVar{Name: "SPOT_INTERRUPTIONS", Value: mount.MountPath + "/spot-advisor-data.json"}) {
		t.Errorf("SPOT_INTERRUPTIONS is not the file in %s", mount.MountPath)
	}
}
