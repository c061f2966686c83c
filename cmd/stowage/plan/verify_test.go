package plan

import (
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stowage-sh/stowage/provisioner/oracle"
)

// TestVerdict: what the user reads of a plan that kube-scheduler would not carry out. No
// manifest is known that leads to one.
func TestVerdict(t *testing.T) {
	web := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}}
	p := &Plan{verdict: &verdict{asked: 3, refusals: []oracle.Refusal{
		{Placement: oracle.Placement{Pod: web, Node: "new/default-1"}, Plugin: "NodePorts", Reason: "node(s) didn't have free ports for the requested pod ports"},
		{Placement: oracle.Placement{Pod: web, Node: "nodeclaim/default-abc"}, Plugin: "NodeResourcesFit", Reason: "Insufficient cpu"},
	}}}
	var b strings.Builder
	p.writeVerdict(&b)
	const page = `
2 pods that kube-scheduler's own filters refuse:
  shop/web on default-1
      NodePorts: node(s) didn't have free ports for the requested pod ports
  shop/web on default-abc
      NodeResourcesFit: Insufficient cpu
`
	if b.String() != page {
		t.Errorf("the page says\n%s\nwant\n%s", b.String(), page)
	}
	if p.Refusals() != 2 {
		t.Errorf("%d are refused, want 2", p.Refusals())
	}
	document, err := json.Marshal(Document{Refused: p.refused()})
	if want := `"refused":[{"pod":"shop/web","node":"default-1","plugin":"NodePorts",`; err != nil || !strings.Contains(string(document), want) {
		t.Errorf("the document is %s (%v), want %s in it", document, err, want)
	}
	p.verdict = nil
	if document, err := json.Marshal(Document{Refused: p.refused()}); err != nil || strings.Contains(string(document), "refused") {
		t.Errorf("the document of a plan that was not verified is %s (%v)", document, err)
	}
}
