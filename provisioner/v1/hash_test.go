package v1_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

func TestHash(t *testing.T) {
	base := pool(t, full).Hash()
	if len(base) != 16 {
		t.Errorf("hash %q", base)
	}
	type edit = func(*v1.NodePool)
	spec := func(p *v1.NodePool) *v1.NodeClaimTemplateSpec { return &p.Spec.Template.Spec }
	same := map[string]edit{
		"requirements":            func(p *v1.NodePool) { spec(p).Requirements = nil },
		"order of taints":         func(p *v1.NodePool) { x := spec(p).Taints; x[0], x[1] = x[1], x[0] },
		"when a taint was added":  func(p *v1.NodePool) { spec(p).Taints[0].TimeAdded = &metav1.Time{Time: time.Unix(1, 0)} },
		"spelling of expireAfter": func(p *v1.NodePool) { spec(p).ExpireAfter = "1h30m" },
		"weight":                  func(p *v1.NodePool) { p.Spec.Weight = nil },
		"limits":                  func(p *v1.NodePool) { p.Spec.Limits = nil },
		"disruption":              func(p *v1.NodePool) { p.Spec.Disruption = v1.Disruption{} },
		"name":                    func(p *v1.NodePool) { p.Name = "other" },
		"defaults":                func(p *v1.NodePool) { p.SetDefaults() },
	}
	for name, change := range same {
		p := pool(t, full)
		change(p)
		if got := p.Hash(); got != base {
			t.Errorf("%s: hash %s, was %s", name, got, base)
		}
	}
	differ := map[string]edit{
		"label":                      func(p *v1.NodePool) { p.Spec.Template.Metadata.Labels["team"] = "db" },
		"annotation":                 func(p *v1.NodePool) { p.Spec.Template.Metadata.Annotations["a"] = "c" },
		"taint":                      func(p *v1.NodePool) { spec(p).Taints[0].Effect = "NoExecute" },
		"startup taint":              func(p *v1.NodePool) { spec(p).StartupTaints[0].Value = "x" },
		"taint that becomes startup": func(p *v1.NodePool) { spec(p).StartupTaints, spec(p).Taints = spec(p).Taints, spec(p).StartupTaints },
		"class":                      func(p *v1.NodePool) { spec(p).NodeClassRef.Name = "other" },
		"grace period":               func(p *v1.NodePool) { spec(p).TerminationGracePeriod = "" },
		"expireAfter":                func(p *v1.NodePool) { spec(p).ExpireAfter = v1.Never },
	}
	seen := map[string]string{base: "nothing"}
	for name, change := range differ {
		p := pool(t, full)
		change(p)
		got := p.Hash()
		if other, ok := seen[got]; ok {
			t.Errorf("changing %s gives the hash of changing %s", name, other)
		}
		seen[got] = name
	}
	unset := pool(t, full)
	spec(unset).ExpireAfter = ""
	defaulted := unset.DeepCopy()
	defaulted.SetDefaults()
	if unset.Hash() != defaulted.Hash() {
		t.Error("a default that is written out changes the hash")
	}
	// The hash is stored in clusters: another answer needs another version.
	if want := "02b787b27c6ba81a"; base != want {
		t.Errorf("Hash() = %s, was %s; change NodePoolHashVersion with it", base, want)
	}
}
