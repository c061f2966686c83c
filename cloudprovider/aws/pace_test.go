package aws

import (
	"context"
	"testing"

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

// TestPaceIsShared: where an operation is throttled its next callers wait, whoever they are, and those of
// other operations do not.
func TestPaceIsShared(t *testing.T) {
	p := &Pace{}
	over, end := context.WithCancel(t.Context())
	end() // who has to wait gets an error
	waits := func(name string) bool {
		ctx := operation(t, over, name)
		for range 100 { // whatever AWS has let through within a second may pass
			if _, err := p.GetAttemptToken(ctx); err != nil {
				return true
			}
		}
		return false
	}
	if waits("CreateFleet") {
		t.Error("a call waits, and none was throttled")
	}
	for range 3 {
		release, err := p.GetAttemptToken(operation(t, t.Context(), "CreateFleet"))
		if err != nil {
			t.Fatal(err)
		}
		_ = release(&smithy.GenericAPIError{Code: codeThrottled})
	}
	if !waits("CreateFleet") {
		t.Error("calls were throttled, and the next do not wait")
	}
	if waits("DescribeInstances") {
		t.Error("calls of another operation wait")
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
