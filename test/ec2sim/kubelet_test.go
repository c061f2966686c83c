package ec2sim

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestResources compares with what nodes of these types reported in life, which
// the formulas approach; CPU and pods they meet.
func TestResources(t *testing.T) {
	types := map[string]InstanceType{}
	for _, x := range EmbeddedTypes("us-west-2") {
		types[x.Name] = x
	}
	for _, c := range []struct {
		name                 string
		capacityMiB, percent int64 // seen by the operating system, and how near we must be
		cpuMilli, pods       int64
	}{
		{"c5.large", 3785, 1, 1930, 29},
		{"c6g.medium", 1834, 1, 940, 8},
		{"m5.large", 7777, 2, 1930, 29},
		{"c7g.16xlarge", 126976, 1, 63770, 737},
	} {
		capacity, allocatable, err := newKubelet().resources(types[c.name], rootGiB)
		if err != nil {
			t.Fatal(err)
		}
		seen := capacity.Memory().Value() >> 20
		if off := seen - c.capacityMiB; off*100 > c.percent*c.capacityMiB || -off*100 > c.percent*c.capacityMiB {
			t.Errorf("%s: %d MiB of memory, seen in life: %d", c.name, seen, c.capacityMiB)
		}
		if allocatable.Cpu().MilliValue() != c.cpuMilli || allocatable.Pods().Value() != c.pods {
			t.Errorf("%s: cpu %s, pods %s; want %dm, %d", c.name, allocatable.Cpu(), allocatable.Pods(), c.cpuMilli, c.pods)
		}
		if kept, want := seen-allocatable.Memory().Value()>>20, 255+11*c.pods+100; kept != want {
			t.Errorf("%s: %d MiB kept back, want %d", c.name, kept, want)
		}
	}
}

func TestReservations(t *testing.T) {
	base := InstanceType{Name: "x", Arch: "amd64", VCPU: 4, MemoryMiB: 16384, SeenMemoryMiB: 16000, ENIs: 4, IPv4PerENI: 15, LocalDiskGB: 1500, LocalDisks: 2}
	line := func(k *kubelet) string {
		capacity, left, err := k.resources(base, 100)
		if err != nil {
			t.Fatal(err)
		}
		disk, freeDisk := capacity[corev1.ResourceEphemeralStorage], left[corev1.ResourceEphemeralStorage]
		return fmt.Sprintf("cpu %dm memory %d pods %d disk %d/%d", left.Cpu().MilliValue(), left.Memory().Value()>>20, left.Pods().Value(), freeDisk.Value()>>30, disk.Value()>>30)
	}
	const eni = 4*14 + 2
	for _, c := range []struct {
		why    string
		change func(*kubelet)
		want   string
	}{
		{"as the image comes", func(*kubelet) {}, fmt.Sprintf("cpu 3920m memory %d pods 58 disk 88/99", 16000-255-11*eni-100)},
		{"maxPods does not move the reservation", func(k *kubelet) { k.maxPods = 110 }, fmt.Sprintf("cpu 3920m memory %d pods 110 disk 88/99", 16000-255-11*eni-100)},
		{"podsPerCore caps", func(k *kubelet) { k.maxPods, k.podsPerCore = 110, 5 }, fmt.Sprintf("cpu 3920m memory %d pods 20 disk 88/99", 16000-255-11*eni-100)},
		{"own reservations", func(k *kubelet) {
			k.kubeReserved = map[string]string{"memory": "1Gi", "cpu": "1"}
			k.systemReserved = map[string]string{"memory": "500Mi", "cpu": "250m", "ephemeral-storage": "2Gi", "pid": "1000"}
			k.evictionHard = map[string]string{"memory.available": "10%", "nodefs.available": "1Gi"}
		}, fmt.Sprintf("cpu 2750m memory %d pods 58 disk 95/99", 16000-1024-500-1600)},
		{"RAID0", func(k *kubelet) { k.raid = true }, fmt.Sprintf("cpu 3920m memory %d pods 58 disk 1255/1396", 16000-255-11*eni-100)},
		{"more reserved than there is", func(k *kubelet) { k.kubeReserved = map[string]string{"memory": "100Gi", "cpu": "9"} }, "cpu 0m memory 0 pods 58 disk 88/99"},
	} {
		k := newKubelet()
		c.change(k)
		if got := line(k); got != c.want {
			t.Errorf("%s: %s, want %s", c.why, got, c.want)
		}
	}
}

func TestShell(t *testing.T) {
	commands, err := shellCommands("a 'b c' \"d \\\" $e\" \\\n  f#g # h\ni; j&&k\n\n'l'm")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range commands {
		got = append(got, strings.Join(c, "|"))
	}
	if s, want := strings.Join(got, "\n"), "a|b c|d \" $e|f#g\ni\nj\nk\nlm"; s != want {
		t.Errorf("%q, want %q", s, want)
	}
}
