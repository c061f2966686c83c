package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// TestOneMachineIsGivenOnce: of many NodeClaims that want one machine at a time, one
// gets it, and gets it again when it asks once more.
func TestOneMachineIsGivenOnce(t *testing.T) {
	var s strays
	var wg sync.WaitGroup
	got := make([]bool, 50)
	for i := range got {
		wg.Go(func() {
			first := s.give("machine", fmt.Sprint(i))
			again := s.give("machine", fmt.Sprint(i))
			got[i] = first && again
		})
	}
	wg.Wait()
	winners := 0
	for _, won := range got {
		if won {
			winners++
		}
	}
	if winners != 1 {
		t.Errorf("%d NodeClaims got the machine", winners)
	}
}

// A stopping cloud notes whether it was called in the name of somebody who was told
// to stop.
type stopping struct {
	cloudprovider.Provider
	state.Writer
	called, stopped bool
}

// Catalog fails.
func (s *stopping) Catalog(ctx context.Context, _ cloudprovider.NodeClassRef) (*cloudprovider.Catalog, error) {
	s.called, s.stopped = true, s.stopped || ctx.Err() != nil
	return nil, errors.New("no answer")
}

// PatchStatus agrees.
func (s *stopping) PatchStatus(ctx context.Context, _ client.Object, _ client.Patch) error {
	s.stopped = s.stopped || ctx.Err() != nil
	return nil
}

// TestALaunchIsCarriedToItsEnd: neither the cloud nor the write of what came of it
// hears that the process was told to stop.
func TestALaunchIsCarriedToItsEnd(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	cloud := &stopping{}
	claim := &v1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: "one", CreationTimestamp: metav1.NewTime(noon)}}
	if _, err := (&Controller{Cloud: cloud, Write: cloud}).launch(ctx, noon, claim); err == nil || !cloud.called || cloud.stopped {
		t.Errorf("error %v, called %v, heard of the stop %v", err, cloud.called, cloud.stopped)
	}
}
