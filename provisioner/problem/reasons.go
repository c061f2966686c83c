package problem

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/cloudprovider"
)

// A Reason says why a pod found no place: a stable code, and a sentence for the
// reader.
type Reason struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// The codes beside those of package binpack: of a NodePool that offers nothing to this batch,
// and of a pod that no node can help before its volume is ready.
const (
	NodePoolExcluded = "NodePoolExcluded"
	WaitsForVolume   = "WaitsForVolume"
)

// Explain says why the pods of an unplaced group found no place, one reason for
// each NodePool and dimension, heaviest NodePool first, then the NodePools that
// offer nothing.
func (t *Translation) Explain(u *binpack.Unplaced) []Reason {
	if waits := t.waits[u.Group]; waits != "" {
		return []Reason{{WaitsForVolume, "waits for " + waits}}
	}
	var reasons []Reason
	for _, r := range u.Reasons {
		if r.Code == binpack.NoCompatibleOffer && len(t.Pools) == 0 {
			continue // why there is no offer at all follows
		}
		reasons = append(reasons, Reason{string(r.Code), t.sentence(u, &r)})
	}
	if len(u.Reasons) == 1 && u.Reasons[0].Code == binpack.Unsupported {
		return reasons // no NodePool could have helped
	}
	for _, x := range t.Excluded {
		reasons = append(reasons, Reason{NodePoolExcluded, fmt.Sprintf("NodePool %s: %s", x.Pool, x.Reason)})
	}
	if len(reasons) == 0 {
		reasons = append(reasons, Reason{NodePoolExcluded, "there is no NodePool"})
	}
	return reasons
}

func (t *Translation) sentence(u *binpack.Unplaced, r *binpack.Reason) string {
	about := ""
	if r.Pool >= 0 {
		about = "NodePool " + t.Pools[r.Pool].Name + ": "
	}
	passes := "passes the pod's node selector, affinity and tolerations"
	if claims := t.volumes.of(t.Pods[u.Group][0]).claims; len(claims) > 0 {
		passes += " where its volumes can be (" + strings.Join(claims, ", ") + ")"
	}
	switch r.Code {
	case binpack.Unsupported:
		return about + r.Constraint + " is not supported yet"
	case binpack.NoCompatibleOffer:
		if out := t.keptOut[u.Group]; len(out) > 0 {
			return about + "no offering " + passes + " outside of " + strings.Join(slices.Compact(slices.Sorted(slices.Values(out))), ", ") + ", where the anti-affinity of running pods or its own forbids it"
		}
		if taken := t.taken[u.Group]; len(taken) > 0 {
			return about + "no offering " + passes + " with its ports free: " + strings.Join(slices.Compact(slices.Sorted(slices.Values(taken))), ", ")
		}
		return about + "no offering " + passes
	case binpack.InsufficientResources:
		name := t.Problem.Resources[r.Resource]
		if driver, ok := strings.CutPrefix(name, attachPrefix); ok {
			return fmt.Sprintf("%sno offering attaches enough volumes: %d of CSI driver %s wanted, the most is %d", about, t.volumes.of(t.Pods[u.Group][0]).attach[driver], driver, r.Best)
		}
		return fmt.Sprintf("%sno offering is large enough: %s wanted %s, the largest has %s after DaemonSets", about, name, wanted(t.Pods[u.Group][0], name), quantity(name, r.Best))
	case binpack.LimitReached:
		if r.Resource < 0 && t.capped[t.Pools[r.Pool].Name] {
			return about + "may open no more nodes for now"
		} else if r.Resource < 0 {
			return about + "its limit on nodes is reached"
		}
		return about + "its limit on " + t.Problem.Resources[r.Resource] + " is reached"
	case binpack.StockExhausted:
		return about + "reserved capacity " + r.Constraint + " is used up"
	case binpack.SpreadUnsatisfiable:
		return about + "no domain is left by " + r.Constraint
	case binpack.Excluded:
		return about + "kept away by " + r.Constraint
	case binpack.TooFewValues:
		return about + "offerings that would hold the pod show fewer values of a label than minValues ask for"
	case binpack.AffinityUnsatisfiable:
		return about + "nothing to be near to for " + r.Constraint
	}
	return about + string(r.Code)
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

// Sentence joins reasons to one message for an event.
func Sentence(reasons []Reason) string {
	words := make([]string, len(reasons))
	for i, r := range reasons {
		words[i] = r.Message
	}
	return strings.Join(words, "; ")
}
