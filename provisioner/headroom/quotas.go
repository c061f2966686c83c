package headroom

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
)

// quotas is how much the ResourceQuotas of a snapshot leave, for buffer after buffer.
type quotas struct {
	s *state.Snapshot
	// left of each quota, filled in when one is asked for first.
	left map[*corev1.ResourceQuota]cloudprovider.Resources
}

// limit lowers what a buffer asks for to what the quotas of its namespace would let in, and takes it
// from them: room for pods that may not be made serves nobody. Quotas with scopes are for some
// pods only, and not looked at.
func (q *quotas) limit(a *Ask) {
	uses := usage(a.Pod)
	var limiting []*corev1.ResourceQuota
	for _, quota := range q.s.Buffers.ResourceQuotas.All() {
		if quota.Namespace != a.Buffer.Namespace || len(quota.Spec.Scopes) > 0 || quota.Spec.ScopeSelector != nil {
			continue
		}
		limiting = append(limiting, quota)
		if fits := admits(q.of(quota), uses, a.Replicas); fits < a.Replicas {
			a.Quotas = fmt.Sprintf("ResourceQuota %s lets in %d of %d more pods", quota.Name, fits, a.Replicas)
			a.Replicas = fits
		}
	}
	for _, quota := range limiting {
		for name, each := range uses {
			if _, ok := q.left[quota][name]; ok {
				q.left[quota][name] -= each * int64(a.Replicas)
			}
		}
	}
}

// admits says how many of so many pods fit into what is left.
func admits(left, uses cloudprovider.Resources, asked int32) int32 {
	fits := int64(asked)
	for name, each := range uses {
		if has, ok := left[name]; ok && each > 0 {
			fits = min(fits, max(0, has/each))
		}
	}
	return int32(fits)
}

// of is what a quota leaves, by the names that usage has.
func (q *quotas) of(quota *corev1.ResourceQuota) cloudprovider.Resources {
	if left, ok := q.left[quota]; ok {
		return left
	}
	hard := quota.Status.Hard
	if hard == nil { // nobody has counted yet
		hard = quota.Spec.Hard
	}
	free, limits := corev1.ResourceList{}, corev1.ResourceList{}
	for name, most := range hard {
		most = most.DeepCopy()
		most.Sub(quota.Status.Used[name])
		into, resource := free, strings.TrimPrefix(strings.TrimPrefix(string(name), corev1.DefaultResourceRequestsPrefix), "count/")
		if of, ok := strings.CutPrefix(string(name), "limits."); ok {
			into, resource = limits, of
		}
		if other, ok := into[corev1.ResourceName(resource)]; !ok || most.Cmp(other) < 0 {
			into[corev1.ResourceName(resource)] = most
		}
	}
	if q.left == nil {
		q.left = map[*corev1.ResourceQuota]cloudprovider.Resources{}
	}
	q.left[quota] = join(free, limits)
	return q.left[quota]
}

// usage is what a pod counts against a quota: its requests, itself, and under "limits." its limits.
func usage(pod *corev1.Pod) cloudprovider.Resources {
	all := join(nil, resourcehelper.PodLimits(pod, resourcehelper.PodResourcesOptions{}))
	for name, q := range problem.Requests(pod) {
		all[name] = q
	}
	return all
}

// join puts limits beside other amounts, under names of their own.
func join(free, limits corev1.ResourceList) cloudprovider.Resources {
	all := problem.Amounts(free)
	for name, q := range problem.Amounts(limits) {
		all["limits."+name] = q
	}
	return all
}
