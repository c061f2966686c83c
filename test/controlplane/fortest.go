package controlplane

import "testing"

// ForTest starts a control plane for one test, or for one with its subtests,
// and stops it when the test is over. If the test has failed by then, the
// folder with the logs stays and the test says where it is. A program that
// ended by itself fails the test.
func ForTest(t testing.TB) *ControlPlane {
	t.Helper()
	cp, err := Start(t.Context(), Options{Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			cp.Keep()
			t.Logf("the control plane's logs are in %s", cp.Dir())
		}
		if err := cp.Stop(); err != nil {
			t.Errorf("stopping the control plane: %v", err)
		}
	})
	return cp
}
