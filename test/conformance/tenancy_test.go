package conformance_test

import (
	"testing"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/test/ec2sim"
)

// TestDedicated: a machine on hardware of its own is launched as one, EC2 says so again, and what is short of
// that is there otherwise.
func TestDedicated(t *testing.T) {
	b := &booking{account: newAccount(t)}
	b.resolve()
	b.Provider, b.class = b.provider(), b.cloud().Class
	alone, shared := b.offered("m5.large/us-west-2a/on-demand+dedicated"), b.offered("m5.large/us-west-2a/on-demand")
	if i, err := b.launch(alone); err != nil || i.Offering != alone {
		t.Fatalf("launched %s, %v", i.Offering, err)
	}
	b.sim.RunShort(ec2sim.Shortage{Pool: cloudprovider.Offering{Tenancy: cloudprovider.Dedicated}})
	if i, err := b.launch(alone, shared); err != nil || i.Offering != shared {
		t.Fatalf("launched %s, %v", i.Offering, err)
	}
	if len(b.refused) != 1 || b.refused[0] != alone {
		t.Errorf("refused: %v", b.refused)
	}
	list, err := b.provider().List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[cloudprovider.Offering]int{}
	for _, i := range list {
		got[i.Offering]++
	}
	if len(list) != 2 || got[alone] != 1 || got[shared] != 1 {
		t.Errorf("listed: %v", got)
	}
}
