package problem_test

import (
	"testing"

	"github.com/stowage-sh/stowage/provisioner/problem"
)

// TestThinIsBoundedByTheCheapest: eight small nodes at 300 are taken in place of two large ones at 1195, and what that costs is
// told. The bound is that of the cheapest plan.
func TestThinIsBoundedByTheCheapest(t *testing.T) {
	w := newWorld()
	for _, err := range []error{
		w.defineCatalog("small  cpu=2 memory=10Gi zones=a,b spot=300\nlarge  cpu=8 memory=40Gi zones=a,b spot=1195"),
		w.apply(`
{apiVersion: karpenter.sh/v1, kind: NodePool, metadata: {name: general}, spec: {template: {spec: {requirements: []}}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: even}, spec: {replicas: 8, template: {metadata: {labels: {app: even}}, spec: {
  topologySpreadConstraints: [{maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: even}}}],
  containers: [{resources: {requests: {cpu: 900m}}}]}}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: odd}, spec: {replicas: 8, template: {metadata: {labels: {app: odd}}, spec: {
  topologySpreadConstraints: [{maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: odd}}}],
  containers: [{resources: {requests: {cpu: 880m}}}]}}}}`),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	in := w.question()
	for nominates, cost := range map[bool]int64{false: 2390, true: 2400} {
		in.Nominates = nominates
		tr, s, err := problem.Decide(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if got := [3]int64{int64(s.Cost), int64(tr.Thinning), int64(s.LowerBound)}; got != [3]int64{1000 * cost, 1000 * (cost - 2390), 2390_000} {
			t.Errorf("nominates %v: cost, part of it for thinning and bound are %v", nominates, got)
		}
	}
}
