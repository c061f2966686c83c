package problem

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/cloudprovider"
)

// A Reason says why a pod found no place: a stable code, and a sentence for the
// reader.
type Reason struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// The codes beside those of package binpack. docs/reasons.md says for each what to do about it.
const (
	// NodePoolExcluded: a NodePool offers nothing to this batch.
	NodePoolExcluded = "NodePoolExcluded"
	// WaitsForVolume: no node can help the pod before its volume is ready.
	WaitsForVolume = "WaitsForVolume"
	// TaintNotTolerated: nothing but taints of the NodePool is in the way. Where more is, it is
	// NoCompatibleOffer.
	TaintNotTolerated = "TaintNotTolerated"
)

// Explain says why the pods of an unplaced group found no place, one reason for
// each NodePool and dimension, heaviest NodePool first, then the NodePools that
// offer nothing.
func (t *Translation) Explain(u *binpack.Unplaced) []Reason {
	if waits := t.waits[u.Group]; waits != "" {
		return []Reason{{WaitsForVolume, "waits for " + waits}}
	}
	var reasons []Reason
	for i := range u.Reasons {
		switch r := &u.Reasons[i]; {
		case r.Code == binpack.Unsupported:
			return []Reason{{string(r.Code), r.Constraint + " is not supported yet"}} // no NodePool could help
		case r.Code == binpack.StockExhausted && t.commitmentOf(r.Constraint) != nil:
			// The same is there for money, and why that will not do is another reason.
		case r.Pool >= 0:
			about := t.about(u.Group, r)
			reasons = append(reasons, Reason{about.Code, "NodePool " + t.Pools[r.Pool].Name + ": " + about.Message})
		}
	}
	for _, x := range t.Excluded {
		reasons = append(reasons, Reason{NodePoolExcluded, fmt.Sprintf("NodePool %s: %s", x.Pool, x.Reason)})
	}
	if len(reasons) == 0 {
		reasons = append(reasons, Reason{NodePoolExcluded, "there is no NodePool"})
	}
	return reasons
}

// about words a reason that is about one NodePool.
func (t *Translation) about(group int, r *binpack.Reason) Reason {
	var message string
	switch r.Code {
	case binpack.NoCompatibleOffer:
		return t.noCompatibleOffer(group, r.Pool)
	case binpack.InsufficientResources:
		message = t.tooSmall(group, r)
	case binpack.LimitReached:
		message = t.limitReached(r)
	case binpack.StockExhausted:
		message = "reserved capacity " + r.Constraint + " is used up"
	case binpack.SpreadUnsatisfiable:
		message = "no domain is left by " + r.Constraint + t.spreadOver(group, r)
	case binpack.Excluded:
		message = "kept away by " + r.Constraint
	case binpack.TooFewValues:
		message = "offerings that would hold the pod show fewer values of a label than minValues ask for"
	case binpack.AffinityUnsatisfiable:
		message = "nothing to be near to for " + r.Constraint
	}
	return Reason{string(r.Code), message}
}

// tooSmall is about a resource of which a pod asks for more than there is.
func (t *Translation) tooSmall(group int, r *binpack.Reason) string {
	if r.Resource < 0 {
		return "no offering is large enough: DaemonSets alone ask for more than any has"
	}
	name, pod := t.Problem.Resources[r.Resource], t.Pods[group][0]
	if driver, ok := strings.CutPrefix(name, attachPrefix); ok {
		return fmt.Sprintf("no offering attaches enough volumes: %d of CSI driver %s wanted, the most is %d", t.volumes.of(pod).attach[driver], driver, r.Best)
	}
	return fmt.Sprintf("no offering is large enough: %s wanted %s, the largest has %s after DaemonSets", name, wanted(pod, name), quantity(name, r.Best))
}

// limitReached is about a limit of a NodePool.
func (t *Translation) limitReached(r *binpack.Reason) string {
	pool := t.Pools[r.Pool]
	if r.Resource < 0 && t.capped[pool.Name] {
		return "may open no more nodes for now"
	} else if r.Resource < 0 {
		return "its limit on nodes is reached"
	}
	name := t.Problem.Resources[r.Resource]
	limit := pool.Spec.Limits[corev1.ResourceName(name)]
	return fmt.Sprintf("its limit on %s is reached: it leaves %s of %s, and the node that comes nearest counts %s", name, quantity(name, r.Best), limit.String(), quantity(name, r.Wanted))
}

// spreadOver says over which domains a spread counts, and which of them the offerings of the
// NodePool are in.
func (t *Translation) spreadOver(group int, r *binpack.Reason) string {
	p := t.Problem
	i := slices.IndexFunc(p.Spreads, func(s binpack.Spread) bool { return s.ID == r.Constraint })
	if i < 0 || p.Spreads[i].Key == binpack.Hostname {
		return ""
	}
	s := &p.Spreads[i]
	var over []string
	for _, d := range s.Domains {
		over = append(over, p.Domains[s.Key][d.Domain])
	}
	there := sets.New[string]()
	for o := range p.Groups[group].Offers.All {
		if d := p.Offers[o].Domains[s.Key]; p.Offers[o].Pool == r.Pool && d != binpack.NoDomain {
			there.Insert(p.Domains[s.Key][d])
		}
	}
	return fmt.Sprintf(", which counts over %s; offerings for the pod are in %s", list(over), list(sets.List(there)))
}

// wanted writes what a pod asks for: the problem's own number may be cut.
func wanted(p *corev1.Pod, name string) string {
	if q, ok := requestList(p)[corev1.ResourceName(name)]; ok {
		return q.String()
	}
	return quantity(name, Requests(p)[name])
}

// quantity writes an integer of a resource as Kubernetes does.
func quantity(name string, q int64) string {
	switch name {
	case cloudprovider.CPU:
		return resource.NewMilliQuantity(q, resource.DecimalSI).String()
	case cloudprovider.Memory, cloudprovider.EphemeralStorage:
		return resource.NewQuantity(q, resource.BinarySI).String()
	}
	return fmt.Sprint(q)
}

// mostListed is how many of something a message lists.
const mostListed = 5

// list writes some of a list: "[a b]".
func list(all []string) string {
	if len(all) > mostListed {
		return fmt.Sprintf("[%s and %d more]", strings.Join(all[:mostListed], " "), len(all)-mostListed)
	}
	return "[" + strings.Join(all, " ") + "]"
}

// mostSaid is how many bytes of reasons an event has room for, with what is around them.
const mostSaid = 900

// Sentence joins reasons to one message for an event. What would be too long for one is cut,
// and it says so.
func Sentence(reasons []Reason) string {
	var b strings.Builder
	for i, r := range reasons {
		if i > 0 && b.Len()+len(r.Message) > mostSaid {
			fmt.Fprintf(&b, "; and %d more reasons", len(reasons)-i)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(r.Message)
	}
	return b.String()
}
