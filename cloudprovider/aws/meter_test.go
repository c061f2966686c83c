package aws

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// A tally notes what a Meter is told.
type tally struct {
	mu       sync.Mutex
	said     []string
	userData []string // by class, in bytes
}

func (t *tally) say(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.said = append(t.said, fmt.Sprintf(format, args...))
}

func (t *tally) LaunchFailed(o cloudprovider.Offering, zoneID, reason string) {
	t.say("%s in %s: %s", o, zoneID, reason)
}
func (t *tally) TerminationFailed() { t.say("termination failed") }
func (t *tally) Batch(kind string, size int) func() {
	t.say("%s of %d", kind, size)
	return func() { t.say("end") }
}

func (t *tally) UserData(class string, bytes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.userData = append(t.userData, fmt.Sprintf("%s: %d", class, bytes))
}

// TestMeter: each offering that a fleet refuses is counted, and each batch with its end, whatever comes of it.
func TestMeter(t *testing.T) {
	h := newHarness(t, errorsOf("InsufficientInstanceCapacity", -1))
	counted := &tally{}
	h.Meter = counted
	if _, err := h.Launch(t.Context(), h.request("m5.large/us-west-2a/spot", "m5.xlarge/us-west-2a/spot", "m5.large/us-west-2b/on-demand")); err != nil {
		t.Fatal(err)
	}
	slices.Sort(counted.said)
	if diff := cmp.Diff([]string{
		"create_fleet of 1", "end", "m5.large/us-west-2a/spot in usw2-az1: InsufficientInstanceCapacity", "m5.xlarge/us-west-2a/spot in usw2-az1: InsufficientInstanceCapacity",
	}, slices.Compact(counted.said)); diff != "" {
		t.Errorf("launches:\n%s", diff)
	}
	counted.said = nil
	h.terminations.run = func(_ context.Context, keys []string) map[string]error {
		return map[string]error{"i-2": errors.New("no")}
	}
	if err := h.Terminate(t.Context(), "i-1"); err != nil {
		t.Fatal(err)
	}
	if err := h.Terminate(t.Context(), "i-2"); err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff([]string{"terminate_instances of 1", "end", "terminate_instances of 1", "end", "termination failed"}, counted.said); diff != "" {
		t.Errorf("terminations:\n%s", diff)
	}
}

// TestUserDataIsMeasured: once for each launch template that is made, as EC2 counts it.
func TestUserDataIsMeasured(t *testing.T) {
	h := newHarness(t)
	counted := &tally{}
	h.Meter = counted
	for _, uid := range []string{"one", "two"} {
		r := h.request("m5.large/us-west-2a/spot")
		r.UID = uid
		if _, err := h.Launch(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	for _, made := range h.fake.templates {
		sent, err := base64.StdEncoding.DecodeString(*made.LaunchTemplateData.UserData)
		if err != nil || len(sent) == 0 {
			t.Fatalf("%q, %v", sent, err)
		}
		want = append(want, fmt.Sprintf("default: %d", len(sent)))
	}
	if diff := cmp.Diff(want, counted.userData); diff != "" || len(want) != 1 {
		t.Errorf("of %d launch templates:\n%s", len(want), diff)
	}
}
