package v1

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Hash identifies the part of the template that nodes are stamped with: a node
// that was made under another hash has drifted. Requirements are not in it, since
// a node may well meet requirements that have changed; they are compared with its
// labels instead.
//
// It does not depend on the order of taints, on how a duration is spelled, or on
// whether a default is written out. Its version is NodePoolHashVersion, which
// changes whenever this function gives another answer.
func (p *NodePool) Hash() string {
	spec := p.Spec.Template.Spec
	expireAfter := cmp.Or(spec.ExpireAfter, ExpireAfterDefault)
	data, err := json.Marshal(struct {
		Labels                 map[string]string  `json:"labels,omitempty"`
		Annotations            map[string]string  `json:"annotations,omitempty"`
		Taints                 []string           `json:"taints,omitempty"`
		StartupTaints          []string           `json:"startupTaints,omitempty"`
		NodeClassRef           NodeClassReference `json:"nodeClassRef"`
		TerminationGracePeriod string             `json:"terminationGracePeriod,omitempty"`
		ExpireAfter            string             `json:"expireAfter"`
	}{
		Labels:                 p.Spec.Template.Metadata.Labels,
		Annotations:            p.Spec.Template.Metadata.Annotations,
		Taints:                 canonicalTaints(spec.Taints),
		StartupTaints:          canonicalTaints(spec.StartupTaints),
		NodeClassRef:           spec.NodeClassRef,
		TerminationGracePeriod: spec.TerminationGracePeriod.canonical(),
		ExpireAfter:            expireAfter.canonical(),
	})
	if err != nil { // strings and maps of strings always encode
		panic(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// canonicalTaints is the same list for taints in any order. When a taint was
// added says nothing about the node.
func canonicalTaints(taints []corev1.Taint) []string {
	var all []string
	for _, t := range taints {
		all = append(all, t.Key+"="+t.Value+":"+string(t.Effect))
	}
	slices.Sort(all)
	return all
}
