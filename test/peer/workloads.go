package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/test/corpus"
)

// A workload is a list of pods on a market.
type workload struct {
	name, section string
	market        *corpus.Market
	// pods makes or reads the pods. No workload's are there while another is
	// measured: a heap full of them slows down whoever allocates.
	pods func() []*corev1.Pod
	// ignorePreferences is the setting of that name, of both.
	ignorePreferences bool
}

// The sections of the table.
const (
	sectionMix     = "The peer's own benchmark: 400 generated types"
	sectionCorpus  = "The generated corpus: the embedded catalog, us-east-1, three zones"
	sectionFolder  = "Pod lists: the embedded catalog, us-east-1, three zones"
	folderVariable = "STOWAGE_WORKLOADS"
)

// workloads lists all that there is to compare, in the order of the table.
func workloads() ([]workload, error) {
	generated := corpus.Generated(400)
	var all []workload
	for _, n := range []int{100, 1000, 5000, 20000} {
		all = append(all, workload{name: fmt.Sprintf("mix %d", n), section: sectionMix, market: generated, pods: list(corpus.Diverse, n)})
	}
	preferring := list(corpus.Preferring, 4000)
	all = append(all,
		workload{name: "preferences, respected", section: sectionMix, market: generated, pods: preferring},
		workload{name: "preferences, ignored", section: sectionMix, market: generated, pods: preferring, ignorePreferences: true})
	markets, err := newMarkets()
	if err != nil {
		return nil, err
	}
	for _, w := range []workload{
		{name: "menus 10000", market: markets[0], pods: list(corpus.Menus, 10000)},
		{name: "menus 10000", market: markets[1], pods: list(corpus.Menus, 10000)},
		{name: "odd requests 20000", market: markets[1], pods: list(corpus.OddRequests, 20000)},
		{name: "all different 20000", market: markets[1], pods: list(corpus.AllDifferent, 20000)},
		{name: "large pods 5000", market: markets[0], pods: list(corpus.LargePods, 5000)},
		{name: "GPU 5000", market: markets[4], pods: list(corpus.GPUs, 5000)},
		{name: "mixed constraints 10000", market: markets[5], pods: list(corpus.MixedConstraints, 10000)},
	} {
		w.section = sectionCorpus
		w.name += ", " + w.market.Name
		all = append(all, w)
	}
	lists, err := folder(os.Getenv(folderVariable), markets)
	return append(all, lists...), err
}

func list(of func(int) []*corev1.Pod, n int) func() []*corev1.Pod {
	return func() []*corev1.Pod { return of(n) }
}

// newMarkets returns the markets of the embedded catalog.
func newMarkets() ([]*corpus.Market, error) {
	var markets []*corpus.Market
	spot, both := []string{cloudprovider.Spot}, []string{"amd64", "arm64"}
	gpu := []string{"c", "m", "r", "g", "p"}
	for _, m := range []struct {
		name string
		o    corpus.Options
	}{
		{"on-demand", corpus.Options{}},
		{"on-demand ≤ 64 vCPU", corpus.Options{MaxCPU: 64}},
		{"spot with arm64", corpus.Options{CapacityTypes: spot, Architectures: both}},
		{"spot with arm64 ≤ 64 vCPU", corpus.Options{CapacityTypes: spot, Architectures: both, MaxCPU: 64}},
		{"on-demand", corpus.Options{Categories: gpu}},
		{"on-demand and spot with arm64 ≤ 64 vCPU", corpus.Options{
			CapacityTypes: []string{cloudprovider.OnDemand, cloudprovider.Spot}, Architectures: both, MaxCPU: 64}},
		{"on-demand ≤ 64 vCPU", corpus.Options{Categories: gpu, MaxCPU: 64}},
		{"spot", corpus.Options{Categories: gpu, CapacityTypes: spot}},
	} {
		market, err := corpus.Embedded(m.name, m.o)
		if err != nil {
			return nil, err
		}
		markets = append(markets, market)
	}
	return markets, nil
}

// folder reads the pod lists of a folder; "" stands for none.
func folder(dir string, markets []*corpus.Market) ([]workload, error) {
	if dir == "" {
		return nil, nil
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.csv"))
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("no pod list (*.csv) in the folder that %s names", folderVariable)
	}
	slices.Sort(names)
	var all []workload
	for _, name := range names {
		short := strings.TrimSuffix(filepath.Base(name), ".csv")
		plain, err := readPods(name, false)
		if err != nil {
			return nil, err
		}
		again := func(apart bool) func() []*corev1.Pod {
			return func() []*corev1.Pod {
				pods, err := readPods(name, apart)
				if err != nil {
					panic(err) // it could be read a moment ago
				}
				return pods
			}
		}
		on := []int{0, 1, 2, 3}
		if wantGPU(plain) {
			on = []int{4, 6, 7}
		}
		for _, m := range on {
			all = append(all, workload{name: short + ", " + markets[m].Name, section: sectionFolder, market: markets[m], pods: again(false)})
		}
		if len(plain) <= 20000 && !wantGPU(plain) {
			all = append(all, workload{name: short + ", " + markets[1].Name + ", max_per_node kept",
				section: sectionFolder, market: markets[1], pods: again(true)})
		}
	}
	return all, nil
}

func readPods(name string, apart bool) ([]*corev1.Pod, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("opening a pod list: %w", err)
	}
	defer f.Close()
	pods, err := corpus.ReadPods(f, apart)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	return pods, nil
}

// wantGPU reports whether any pod asks for a GPU.
func wantGPU(pods []*corev1.Pod) bool {
	return slices.ContainsFunc(pods, func(p *corev1.Pod) bool {
		for name := range p.Spec.Containers[0].Resources.Requests {
			if strings.HasSuffix(string(name), "/gpu") {
				return true
			}
		}
		return false
	})
}
