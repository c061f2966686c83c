package aws

import "testing"

// TestParseQuantity: what kubelet's configuration may hold is read, and text that
// would keep the parser busy for minutes is refused before it sees it.
func TestParseQuantity(t *testing.T) {
	for text, want := range map[string]int64{"100Mi": 100 << 20, "1.5Gi": 3 << 29, "2E": 2e18, "1Ei": 1 << 60, "1e3": 1000, "1E+3": 1000, "0": 0} {
		if q, err := parseQuantity(text); err != nil || q.Value() != want {
			t.Errorf("%q is %v, %v; want %d", text, q.Value(), err, want)
		}
	}
	for _, text := range []string{"", "much", "1E-2147483647", "1e99999", "0000000000000000000000001"} {
		if q, err := parseQuantity(text); err == nil {
			t.Errorf("%q is %v", text, q)
		}
	}
}
