package v1_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// pool reads a NodePool; what is not said is left unset.
func pool(t *testing.T, manifest string) *v1.NodePool {
	t.Helper()
	p := &v1.NodePool{}
	if err := yaml.UnmarshalStrict([]byte(manifest), p); err != nil {
		t.Fatal(err)
	}
	return p
}

const full = `
metadata: {name: default}
spec:
  weight: 10
  limits: {cpu: "100", nodes: "5"}
  disruption: {consolidateAfter: 30s, budgets: [{nodes: "1", schedule: "@daily", duration: 1h30m}]}
  template:
    metadata: {labels: {team: web, karpenter.sh/capacity-type: spot}, annotations: {a: b}}
    spec:
      taints: [{key: a, effect: NoSchedule, value: x}, {key: b, effect: NoExecute}]
      startupTaints: [{key: c, effect: NoSchedule}]
      nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: default}
      expireAfter: 90m
      terminationGracePeriod: 24h
      requirements:
      - {key: kubernetes.io/arch, operator: In, values: [amd64, arm64], minValues: 2}
      - {key: karpenter.k8s.aws/instance-cpu, operator: Gte, values: ["4"]}
      - {key: team, operator: Exists}
`

// TestTextIsKept: an object that is read and written back is unchanged.
func TestTextIsKept(t *testing.T) {
	p := pool(t, full)
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(full), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-manifest +written back:\n%s", diff)
	}
}

func TestSetDefaults(t *testing.T) {
	p := &v1.NodePool{}
	p.SetDefaults()
	want := v1.Disruption{ConsolidateAfter: "0s", ConsolidationPolicy: v1.WhenEmptyOrUnderutilized, Budgets: []v1.Budget{{Nodes: "10%"}}}
	if diff := cmp.Diff(want, p.Spec.Disruption); diff != "" || p.Spec.Template.Spec.ExpireAfter != "720h" {
		t.Errorf("expireAfter %q, disruption -want +got:\n%s", p.Spec.Template.Spec.ExpireAfter, diff)
	}
	p = pool(t, full)
	p.Spec.Disruption.ConsolidationPolicy = v1.WhenEmpty
	p.Spec.Disruption.Budgets = []v1.Budget{}
	before := p.DeepCopy()
	p.SetDefaults()
	if diff := cmp.Diff(before, p); diff != "" {
		t.Errorf("what was set changed:\n%s", diff)
	}
	c := &v1.NodeClaim{}
	c.SetDefaults()
	if c.Spec.ExpireAfter != "720h" {
		t.Errorf("NodeClaim: expireAfter %q", c.Spec.ExpireAfter)
	}
}

func TestIsEphemeralTaint(t *testing.T) {
	for taint, want := range map[corev1.Taint]bool{
		v1.UnregisteredTaint(): true,
		v1.DisruptedTaint():    false,
		{Key: corev1.TaintNodeNotReady, Effect: "NoExecute"}:                                         true,
		{Key: corev1.TaintNodeUnreachable, Effect: "NoSchedule"}:                                     true,
		{Key: corev1.TaintNodeUnreachable, Effect: "NoExecute"}:                                      false,
		{Key: "node.cloudprovider.kubernetes.io/uninitialized", Value: "true", Effect: "NoSchedule"}: true,
		{Key: "readiness.k8s.io/network", Effect: "NoSchedule"}:                                      true,
		{Key: "team", Value: "web", Effect: "NoSchedule"}:                                            false,
	} {
		if got := v1.IsEphemeralTaint(taint); got != want {
			t.Errorf("%s: %v, want %v", taint.ToString(), got, want)
		}
	}
}

func TestAddToScheme(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"NodePool", "NodePoolList", "NodeClaim", "NodeClaimList"} {
		if _, err := scheme.New(v1.GroupVersion.WithKind(kind)); err != nil {
			t.Error(err)
		}
	}
}
