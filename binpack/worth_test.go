package binpack

import "testing"

// TestWorth by hand: of a machine with 4 CPUs and 8 GiB for 80 and one with 4 CPUs and 32 GiB for
// 128, 24 GiB more cost 48, so a GiB is worth 2, and a CPU (80-16)/4 = 16, if both are needed; pods
// that ask for little memory make CPUs worth 20 and memory nothing.
func TestWorth(t *testing.T) {
	for _, test := range []struct {
		cpu, memory int64
		want        [2]float64
	}{
		{2, 8, [2]float64{16, 2}},
		{2, 1, [2]float64{20, 0}},
	} {
		p := &Problem{
			Resources: []string{"cpu", "memory"},
			Offers: []Offer{
				{Price: 80, Capacity: Vector{5, 8}, Overhead: Vector{1, 0}},
				{Price: 128, Capacity: Vector{5, 32}, Overhead: Vector{1}},
				{Price: 1000, Capacity: Vector{5, 32}},
			},
			Groups: []Group{{Count: 3, Requests: Vector{test.cpu, test.memory}}},
		}
		got := Worth(p, nil)
		for r := range got {
			if diff := got[r] - test.want[r]; diff > 1e-9 || diff < -1e-9 {
				t.Errorf("pods of %d CPUs and %d GiB: worth %v, want %v", test.cpu, test.memory, got, test.want)
				break
			}
		}
	}
}
