package corpus

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

const podList = `class,count,cpu_milli,mem_mib,gpu,max_per_node,group
web,3,500,1024,0,2,shop
db,2,4000,8192,0,1,shop
train,1,8000,32768,4,,
`

// TestReadPods reads a small list, with and without what keeps pods apart.
func TestReadPods(t *testing.T) {
	pods, err := ReadPods(strings.NewReader(podList), false)
	if err != nil {
		t.Fatal(err)
	}
	if len(pods) != 6 {
		t.Fatalf("%d pods, 6 are listed", len(pods))
	}
	for _, p := range pods {
		if p.Spec.Affinity != nil || p.Spec.TopologySpreadConstraints != nil {
			t.Errorf("%s minds where it goes", p.Name)
		}
	}
	r := pods[5].Spec.Containers[0].Resources.Requests
	gpus := r[gpuResource]
	if r.Cpu().MilliValue() != 8000 || r.Memory().Value() != 32<<30 || gpus.Value() != 4 {
		t.Errorf("the last asks for %v", r)
	}
	if pods, err = ReadPods(strings.NewReader(podList), true); err != nil {
		t.Fatal(err)
	}
	spread := pods[0].Spec.TopologySpreadConstraints
	if len(spread) != 1 || spread[0].MaxSkew != 2 || spread[0].TopologyKey != corev1.LabelHostname {
		t.Errorf("of two to a node the first has %v", spread)
	}
	if a := pods[3].Spec.Affinity; a == nil || a.PodAntiAffinity == nil {
		t.Error("of one to a node the first has no anti-affinity")
	}
	if pods[5].Spec.Affinity != nil || pods[5].Spec.TopologySpreadConstraints != nil {
		t.Error("the last may go anywhere, and does not")
	}
}

// TestReadPodsNamesWhatIsWrong reads lists that are none.
func TestReadPodsNamesWhatIsWrong(t *testing.T) {
	for want, text := range map[string]string{
		"header":       "",
		"column gpu":   "class,count,cpu_milli,mem_mib\n",
		"line 2":       "class,count,cpu_milli,mem_mib,gpu\nweb,three,1,1,0\n",
		"wrong number": "class,count,cpu_milli,mem_mib,gpu\nweb,3\n",
	} {
		if _, err := ReadPods(strings.NewReader(text), false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
	}
}
