package problem

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// A group is a number of pods that are alike in everything that matters to where
// they may go.
type group struct {
	pods        []*corev1.Pod // by namespace and name
	requests    cloudprovider.Resources
	selector    nodeSelector
	rules       []rule
	matched     []int // the terms of the batch that match the pods
	unsupported string
}

// A shape is what tells groups apart. Its JSON is the key.
type shape struct {
	Requests     cloudprovider.Resources
	NodeSelector map[string]string    `json:",omitempty"`
	NodeAffinity *corev1.NodeSelector `json:",omitempty"`
	Tolerations  []corev1.Toleration  `json:",omitempty"`
	Priority     int32                `json:",omitempty"`
	Rules        []string             `json:",omitempty"`
	Matched      []int                `json:",omitempty"`
	Unsupported  string               `json:",omitempty"`
}

// groupsOf sorts pods into groups and returns the distinct terms that tell them
// apart: those that their own rules look for, and those by which pods in bins
// keep others away, as do those of DaemonSets. Both are ordered by content, not by
// input.
func groupsOf(pods []*corev1.Pod, bins []Bin, daemons []daemon) ([]*group, []podTerm) {
	singles := make([]*group, len(pods))
	byText := map[string]podTerm{}
	for i := range bins {
		for _, r := range bins[i].keepsOut {
			byText[r.term.text] = r.term
		}
	}
	for i := range daemons {
		for _, r := range daemons[i].keepsOut {
			byText[r.term.text] = r.term
		}
	}
	for i, p := range pods {
		g := &group{pods: []*corev1.Pod{p}, unsupported: unsupportedField(p)}
		var reason string
		if g.rules, reason = rulesOf(p); reason != "" {
			g.unsupported = cmp.Or(g.unsupported, reason)
		}
		if field, name := g.counted(daemons); name != "" {
			g.unsupported = cmp.Or(g.unsupported, field+".labelSelector: a spread that counts pods of DaemonSet "+name)
		}
		for _, r := range g.rules {
			byText[r.term.text] = r.term
		}
		singles[i] = g
	}
	terms := slices.SortedFunc(maps.Values(byText), func(a, b podTerm) int { return cmp.Compare(a.text, b.text) })
	matches := matcher{terms: terms, known: map[string][]int{}}
	byKey := map[string]*group{}
	for _, g := range singles {
		g.matched = matches.of(g.pods[0])
		key := g.complete()
		if same, ok := byKey[key]; ok {
			same.pods = append(same.pods, g.pods[0])
		} else {
			byKey[key] = g
		}
	}
	var groups []*group
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		g := byKey[key]
		g.selector = newNodeSelector(&g.pods[0].Spec)
		slices.SortFunc(g.pods, func(a, b *corev1.Pod) int {
			return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
		})
		groups = append(groups, g)
	}
	return groups, terms
}

// complete fills in what follows from the pod's spec and returns the group's key.
func (g *group) complete() string {
	p := g.pods[0]
	g.requests = Requests(p)
	s := shape{
		Requests:     g.requests,
		NodeSelector: p.Spec.NodeSelector,
		Tolerations:  p.Spec.Tolerations,
		Priority:     corev1helpers.PodPriority(p),
		Matched:      g.matched,
		Unsupported:  g.unsupported,
	}
	if a := p.Spec.Affinity; a != nil && a.NodeAffinity != nil {
		s.NodeAffinity = a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	}
	for i := range g.rules {
		s.Rules = append(s.Rules, g.rules[i].id())
	}
	return s.text()
}

// text is equal for equal shapes.
func (s *shape) text() string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // a struct of strings and integers
	}
	return string(text)
}

// A matcher finds the terms that match a pod, once for pods with equal labels.
type matcher struct {
	terms []podTerm
	known map[string][]int
}

func (m *matcher) of(p *corev1.Pod) []int {
	if len(m.terms) == 0 {
		return nil
	}
	var key strings.Builder
	key.WriteString(p.Namespace)
	for _, k := range slices.Sorted(maps.Keys(p.Labels)) {
		key.WriteString("\x00" + k + "\x00" + p.Labels[k])
	}
	matched, ok := m.known[key.String()]
	if !ok {
		for i := range m.terms {
			if m.terms[i].matches(p) {
				matched = append(matched, i)
			}
		}
		m.known[key.String()] = matched
	}
	return matched
}

// mentioned returns the label keys by which the pods tell nodes apart.
func mentioned(groups []*group) sets.Set[string] {
	keys := sets.New[string]()
	for _, g := range groups {
		for _, r := range g.selector.all {
			keys.Insert(r.Key())
		}
		for _, t := range g.selector.terms {
			for _, r := range t.labels {
				keys.Insert(r.Key())
			}
		}
		for _, r := range g.rules {
			keys.Insert(r.key)
		}
	}
	return keys
}
