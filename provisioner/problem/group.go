package problem

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/selection"
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
	wishes      []wish // what the pods prefer, the heaviest first
	ports       []hostPort
	storage     storageDemand
	places      string // equal for groups whose pods alone may go to the same places
	matched     []int  // the terms of the batch that match the pods
	relaxed     bool   // minValues are lowered for the pods
	unsupported string
}

// A shape is what tells groups apart; see group.key.
type shape struct {
	Requests     cloudprovider.Resources
	NodeSelector map[string]string    `json:",omitempty"`
	NodeAffinity *corev1.NodeSelector `json:",omitempty"`
	Tolerations  []corev1.Toleration  `json:",omitempty"`
	Priority     int32                `json:",omitempty"`
	Rules        []string             `json:",omitempty"`
	Wishes       []string             `json:",omitempty"`
	Ports        []string             `json:",omitempty"`
	Storage      string               `json:",omitempty"`
	Matched      []int                `json:",omitempty"`
	Relaxed      bool                 `json:",omitempty"`
	Unsupported  string               `json:",omitempty"`
}

// groupsOf sorts pods into groups and returns the distinct terms that tell them
// apart: those that their own rules look for, and those by which pods in bins
// keep others away, as do those of DaemonSets. Both are ordered by content, not by
// input.
func groupsOf(in *Input, t *Translation) ([]*group, []podTerm) {
	pods, bins, daemons, ns := in.Pods, t.Bins, t.daemons, t.namespaces
	singles, taints := make([]group, len(pods)), softTaints(in.Snapshot.NodePools.All())
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
		g := &singles[i]
		g.pods, g.unsupported, g.ports, g.storage = pods[i:i+1:i+1], unsupportedField(p), hostPorts(&p.Spec), t.volumes.of(p)
		g.relaxed = in.relaxed[p.UID]
		var reason string
		if g.rules, reason = rulesOf(p, ns); reason != "" {
			g.unsupported = cmp.Or(g.unsupported, reason)
		}
		if field, name := g.counted(daemons); name != "" {
			g.unsupported = cmp.Or(g.unsupported, field+".labelSelector: a spread that counts pods of DaemonSet "+name)
		}
		for _, r := range g.rules {
			byText[r.term.text] = r.term
		}
		if !in.IgnorePreferences && !in.unheard[p.UID] {
			g.wishes = slices.DeleteFunc(wishesOf(p, ns, taints), func(w wish) bool { return w.rule != nil && w.rule.countsAny(daemons) })
		}
		for _, w := range g.wishes {
			if w.rule != nil {
				byText[w.rule.term.text] = w.rule.term
			}
		}
	}
	terms := slices.SortedFunc(maps.Values(byText), func(a, b podTerm) int { return cmp.Compare(a.text, b.text) })
	matches := newMatcher(terms)
	byKey := map[string]*group{}
	requests := newRequestsKnown()
	var key []byte
	for i := range singles {
		g := &singles[i]
		g.requests = requests.of(g.pods[0])
		g.matched = matches.of(g.pods[0])
		key = g.key(key[:0])
		if same, ok := byKey[string(key)]; ok {
			same.pods = append(same.pods, g.pods[0])
		} else {
			byKey[string(key)] = g
		}
	}
	return inOrder(byKey), terms
}

// inOrder completes the groups and sorts them by what tells them apart.
func inOrder(byKey map[string]*group) []*group {
	type named struct {
		key string
		*group
	}
	all := make([]named, 0, len(byKey))
	for key, g := range byKey {
		all = append(all, named{key, g})
	}
	slices.SortFunc(all, func(a, b named) int { return cmp.Compare(a.key, b.key) })
	groups := make([]*group, len(all))
	for i, n := range all {
		g := n.group
		g.selector, g.places = newNodeSelector(&g.pods[0].Spec), placesKey(&g.pods[0].Spec)
		slices.SortFunc(g.pods, QueueOrder)
		groups[i] = g
	}
	return groups
}

// shape returns what tells the group apart.
func (g *group) shape() shape {
	spec := &g.pods[0].Spec
	s := shape{
		Requests:     g.requests,
		NodeSelector: spec.NodeSelector,
		NodeAffinity: required(spec),
		Tolerations:  spec.Tolerations,
		Priority:     corev1helpers.PodPriority(g.pods[0]),
		Matched:      g.matched,
		Storage:      g.storage.text(),
		Relaxed:      g.relaxed,
		Unsupported:  g.unsupported,
	}
	for i := range g.rules {
		s.Rules = append(s.Rules, g.rules[i].id())
	}
	for i := range g.wishes {
		s.Wishes = append(s.Wishes, g.wishes[i].text)
	}
	for _, p := range g.ports {
		s.Ports = append(s.Ports, p.String())
	}
	return s
}

// key appends to b what is equal for equal shapes, and for no others. It is made
// for each pod, and so without the JSON of what most pods do not have.
func (g *group) key(b []byte) []byte {
	s := g.shape()
	names := make([]string, 0, 8)
	for name := range s.Requests {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		b = strconv.AppendInt(append(append(b, name...), '='), s.Requests[name], 10)
		b = append(b, 0)
	}
	b = strconv.AppendInt(append(b, 0), int64(s.Priority), 10)
	for _, m := range s.Matched {
		b = strconv.AppendInt(append(b, ','), int64(m), 10)
	}
	for _, r := range s.Rules {
		b = append(append(b, 0), r...)
	}
	for _, w := range s.Wishes {
		b = append(append(b, 0, 1), w...)
	}
	for _, p := range s.Ports {
		b = append(append(b, 0, 2), p...)
	}
	if s.Storage != "" {
		b = append(append(b, 0, 3), s.Storage...)
	}
	if s.Relaxed {
		b = append(b, 0, 4)
	}
	b = append(append(b, 0, 0), s.Unsupported...)
	if len(s.NodeSelector) > 0 || len(s.Tolerations) > 0 || s.NodeAffinity != nil {
		rest := shape{NodeSelector: s.NodeSelector, Tolerations: s.Tolerations, NodeAffinity: s.NodeAffinity}
		b = append(append(b, 0, 0), rest.text()...)
	}
	return b
}

// requestsKnown keeps what Requests said of pods with one container and nothing
// else that counts, by what that container asks for. Its values are shared.
type requestsKnown struct {
	plain map[plain]cloudprovider.Resources
	other map[string]cloudprovider.Resources
}

func newRequestsKnown() requestsKnown {
	return requestsKnown{map[plain]cloudprovider.Resources{}, map[string]cloudprovider.Resources{}}
}

func (k requestsKnown) of(p *corev1.Pod) cloudprovider.Resources {
	spec := &p.Spec
	if len(spec.Containers) != 1 || len(spec.InitContainers) > 0 || spec.Overhead != nil || spec.Resources != nil || !settled(p) {
		return Requests(p)
	}
	if asked, ok := plainOf(spec.Containers[0].Resources.Requests); ok {
		return known(k.plain, asked, p)
	}
	return known(k.other, listKey(spec.Containers[0].Resources.Requests), p)
}

func known[K comparable](requests map[K]cloudprovider.Resources, key K, p *corev1.Pod) cloudprovider.Resources {
	r, ok := requests[key]
	if !ok {
		r = Requests(p)
		requests[key] = r
	}
	return r
}

// plain is a list of CPU and memory, as most are.
type plain struct{ milliCPU, memory int64 }

func plainOf(list corev1.ResourceList) (of plain, ok bool) {
	cpu, ok := list[corev1.ResourceCPU]
	memory, also := list[corev1.ResourceMemory]
	if !ok || !also || len(list) > 2 {
		return plain{}, false
	}
	return plain{amount(corev1.ResourceCPU, &cpu), amount(corev1.ResourceMemory, &memory)}, true
}

// listKey is equal for equal lists.
func listKey(list corev1.ResourceList) string {
	var key []byte
	for _, name := range slices.Sorted(maps.Keys(list)) {
		q := list[name]
		key = append(append(append(append(key, name...), '='), q.String()...), 0)
	}
	return string(key)
}

// settled reports whether no resize of a pod is under way: otherwise, its status says of requests what its spec does not. It may
// say the same, too, where the pod does not come from a watch; see state.Slim.
func settled(p *corev1.Pod) bool {
	return !slices.ContainsFunc(p.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.Resources != nil })
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
	// byLabel lists, by key and value, the terms that only pods with this label can
	// match; other are those of which no such label is known. Most terms look for
	// one Deployment, so that a pod is compared with few of them.
	byLabel map[[2]string][]int
	other   []int
	known   map[string][]int
	key     []byte // of known, for the next pod
}

func newMatcher(terms []podTerm) *matcher {
	m := &matcher{terms: terms, byLabel: map[[2]string][]int{}, known: map[string][]int{}}
	for i := range terms {
		if label, ok := terms[i].label(); ok {
			m.byLabel[label] = append(m.byLabel[label], i)
		} else {
			m.other = append(m.other, i)
		}
	}
	return m
}

// label returns a label that every pod has which the term matches, if its
// selector names one.
func (t *podTerm) label() (label [2]string, ok bool) {
	for i := range t.parts {
		requirements, _ := t.parts[i].selector.Requirements()
		for _, r := range requirements {
			switch r.Operator() {
			case selection.In, selection.Equals, selection.DoubleEquals:
				if values := r.ValuesUnsorted(); len(values) == 1 {
					return [2]string{r.Key(), values[0]}, true
				}
			}
		}
	}
	return label, false
}

func (m *matcher) of(p *corev1.Pod) []int {
	if len(m.terms) == 0 {
		return nil
	}
	names := make([]string, 0, 16)
	for name := range p.Labels {
		names = append(names, name)
	}
	slices.Sort(names)
	key := append(m.key[:0], p.Namespace...)
	for _, name := range names {
		key = append(append(append(append(key, 0), name...), 0), p.Labels[name]...)
	}
	m.key = key
	matched, ok := m.known[string(key)]
	if !ok {
		consider := func(terms []int) {
			for _, i := range terms {
				if m.terms[i].matches(p) {
					matched = append(matched, i)
				}
			}
		}
		consider(m.other)
		for k, v := range p.Labels {
			consider(m.byLabel[[2]string{k, v}])
		}
		slices.Sort(matched)
		m.known[string(key)] = matched
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
		for _, c := range g.storage.where {
			for _, t := range c.terms {
				for _, r := range t.labels {
					keys.Insert(r.Key())
				}
			}
		}
	}
	return keys
}
