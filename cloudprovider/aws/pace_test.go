package aws

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go"
	smithymiddleware "github.com/aws/smithy-go/middleware"
)

// operation is what the SDK makes of a context when an operation is called.
func operation(t *testing.T, of context.Context, name string) (ctx context.Context) {
	t.Helper()
	m := middleware.RegisterServiceMetadata{ServiceID: "EC2", OperationName: name}
	_, _, err := m.HandleInitialize(of, smithymiddleware.InitializeInput{}, smithymiddleware.InitializeHandlerFunc(
		func(inner context.Context, _ smithymiddleware.InitializeInput) (out smithymiddleware.InitializeOutput, _ smithymiddleware.Metadata, _ error) {
			ctx = inner
			return
		}))
	if err != nil {
		t.Fatal(err)
	}
	return ctx
}

// waited is how long calls of an EC2 operation waited, one after the other.
func waited(t *testing.T, p *Pace, name string, calls int) time.Duration {
	t.Helper()
	start := time.Now()
	for range calls {
		if _, err := p.GetAttemptToken(operation(t, t.Context(), name)); err != nil {
			t.Fatal(err)
		}
	}
	return time.Since(start)
}

// TestPaceIsShared: where an operation is throttled its next callers wait, whoever they are, and those of
// other operations do not.
func TestPaceIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &Pace{}
		const few = 30 // within every bucket, and more than what is let through within a second of having been throttled
		for range 3 {
			release, err := p.GetAttemptToken(operation(t, t.Context(), "CreateFleet"))
			if err != nil {
				t.Fatal(err)
			}
			_ = release(&smithy.GenericAPIError{Code: codeThrottled})
		}
		if waited(t, p, "CreateFleet", few) == 0 {
			t.Error("calls were throttled, and the next do not wait")
		}
		for _, other := range []string{"CreateLaunchTemplate", "DescribeInstances"} {
			if d := waited(t, p, other, few); d != 0 {
				t.Errorf("calls of %s wait %v, and none was throttled", other, d)
			}
		}
	})
}

// TestPaceKeepsLimits: beforehand, what a second adds is all that an operation has to itself once its bucket is
// empty, and what it held at first was a second's less than AWS says.
func TestPaceKeepsLimits(t *testing.T) {
	for name, want := range map[string]struct {
		atOnce    int
		perSecond int
	}{
		"CreateFleet": {45, 5}, "CreateLaunchTemplate": {45, 5}, "CreateTags": {90, 10}, "RunInstances": {3, 2}, "TerminateInstances": {95, 5},
		"DescribeInstances": {40, 10}, "DescribeImages": {80, 20},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := &Pace{}
			if d := waited(t, p, name, want.atOnce); d != 0 {
				t.Errorf("%s: %d calls wait %v", name, want.atOnce, d)
			}
			if d := waited(t, p, name, 10*want.perSecond); d.Round(time.Millisecond) != 10*time.Second {
				t.Errorf("%s: %d calls more wait %v, want 10s", name, 10*want.perSecond, d)
			}
			over, end := context.WithCancel(t.Context())
			end()
			if _, err := p.GetAttemptToken(operation(t, over, name)); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: a caller whose context has ended gets %v", name, err)
			}
		})
	}
}

// TestLimitsLeaveSomething when a second's tokens are held back.
func TestLimitsLeaveSomething(t *testing.T) {
	for name, l := range limits {
		if l.PerSecond <= 0 || l.Capacity <= l.PerSecond {
			t.Errorf("%s: %+v", name, l)
		}
	}
	if l, known := LimitOf("IAM", "GetInstanceProfile"); known {
		t.Errorf("IAM has %+v, which AWS does not document", l)
	}
	for _, service := range []string{"Pricing", "pricing"} {
		if l, _ := LimitOf(service, "GetProducts"); l != (Limit{10, 5}) {
			t.Errorf("%s: %+v", service, l)
		}
	}
}

// TestPaceTriesAgain what was throttled, and not what was refused.
func TestPaceTriesAgain(t *testing.T) {
	p := &Pace{}
	for code, want := range map[string]bool{codeThrottled: true, codeNoInstance: false} {
		if got := p.IsErrorRetryable(&smithy.GenericAPIError{Code: code}); got != want {
			t.Errorf("%s is tried again: %v", code, got)
		}
	}
}
