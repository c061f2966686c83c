package problem

import (
	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// limitNodes is the limit on the number of nodes, beside those on resources.
const limitNodes = "nodes"

// pool turns a NodePool into what is left of its limits.
func (b *builder) pool(np *v1.NodePool) binpack.Pool {
	p := binpack.Pool{ID: np.Name, Weight: weight(np), NodesLeft: binpack.Unlimited}
	used, nodes := b.usage(np)
	if limit, ok := np.Spec.Limits[limitNodes]; ok {
		p.NodesLeft = max(0, limit.Value()-nodes)
	}
	if left, ok := b.in.NodesLeft[np.Name]; ok && left < p.NodesLeft {
		p.NodesLeft = max(0, left)
		b.t.capped[np.Name] = true
	}
	if b.in.fewNodes && p.NodesLeft != binpack.Unlimited {
		for i := range b.t.Rows {
			if b.t.Rows[i].Pool == np {
				p.NodeFee = max(p.NodeFee, b.t.Rows[i].Price)
			}
		}
	}
	limits := resources(np.Spec.Limits)
	delete(limits, limitNodes)
	if len(limits) == 0 {
		return p
	}
	p.Left = make(binpack.Vector, len(b.p.Resources))
	for r, name := range b.p.Resources {
		p.Left[r] = binpack.Unlimited
		if limit, ok := limits[name]; ok {
			p.Left[r] = max(0, limit-used[name])
		}
	}
	return p
}

// usage sums the capacity of a NodePool's machines, those on their way included.
func (b *builder) usage(np *v1.NodePool) (used cloudprovider.Resources, nodes int64) {
	used = cloudprovider.Resources{}
	for _, c := range b.in.Snapshot.ClaimsOf(np.Name) {
		nodes++
		add(used, b.charge(c))
	}
	return used, nodes
}

// charge returns a NodeClaim's capacity, before its launch the most that it may
// come to.
func (b *builder) charge(c *v1.NodeClaim) cloudprovider.Resources {
	if len(c.Status.Capacity) > 0 {
		return resources(c.Status.Capacity)
	}
	most := resources(c.Spec.Resources.Requests)
	for _, row := range decidedRows(b.in, c) {
		for name, q := range row.Type.Capacity {
			most[name] = max(most[name], q)
		}
	}
	return most
}
