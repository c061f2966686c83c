package oracle

import (
	"fmt"

	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// A board is the cluster as the plugins see it. Pods join while they look.
type board struct {
	nodes  []fwk.NodeInfo
	byName map[string]fwk.NodeInfo
}

// newBoard has the pods that are bound already.
func newBoard(c Cluster) (*board, error) {
	b := &board{byName: map[string]fwk.NodeInfo{}}
	for _, n := range c.Nodes {
		info := framework.NewNodeInfo()
		info.SetNode(n)
		b.nodes, b.byName[n.Name] = append(b.nodes, info), info
	}
	for _, p := range c.Pods {
		if ended(p) {
			continue
		}
		info, err := framework.NewPodInfo(p)
		if err != nil {
			return nil, fmt.Errorf("reading pod %s/%s: %w", p.Namespace, p.Name, err)
		}
		b.byName[p.Spec.NodeName].AddPodInfo(info)
	}
	return b, nil
}

func (b *board) NodeInfos() fwk.NodeInfoLister           { return b }
func (b *board) PodGroupStates() fwk.PodGroupStateLister { return nil }
func (b *board) List() ([]fwk.NodeInfo, error)           { return b.nodes, nil }
func (b *board) HavePodsWithAffinityList() ([]fwk.NodeInfo, error) {
	return b.with(func(n fwk.NodeInfo) bool { return len(n.GetPodsWithAffinity()) > 0 }), nil
}

func (b *board) HavePodsWithRequiredAntiAffinityList() ([]fwk.NodeInfo, error) {
	return b.with(func(n fwk.NodeInfo) bool { return len(n.GetPodsWithRequiredAntiAffinity()) > 0 }), nil
}

// with lists the nodes that keep says.
func (b *board) with(keep func(fwk.NodeInfo) bool) (some []fwk.NodeInfo) {
	for _, n := range b.nodes {
		if keep(n) {
			some = append(some, n)
		}
	}
	return some
}

func (b *board) Get(name string) (fwk.NodeInfo, error) {
	n, ok := b.byName[name]
	if !ok {
		return nil, fmt.Errorf("there is no node %s", name)
	}
	return n, nil
}
