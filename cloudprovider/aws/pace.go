package aws

import (
	"context"
	"sync"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

// paceAttempts is how often a call is tried. What launches and terminates is tried again by its
// controllers after that.
const paceAttempts = 5

// A Pace is how fast AWS may be called: an aws.RetryerV2 for all clients together. AWS counts the calls
// of an account by operation, so all callers of an operation that is throttled slow down together, and no
// other does. It measures what AWS lets through as the SDK's adaptive mode does, with one measure for each
// operation. The zero value is ready, and may be used by many goroutines.
type Pace struct {
	mu          sync.Mutex
	byOperation map[string]*retry.AdaptiveMode
}

var _ sdk.RetryerV2 = (*Pace)(nil)

// of is the measure of the operation that ctx is of.
func (p *Pace) of(ctx context.Context) *retry.AdaptiveMode {
	return p.named(middleware.GetServiceID(ctx) + "." + middleware.GetOperationName(ctx))
}

func (p *Pace) named(operation string) *retry.AdaptiveMode {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byOperation == nil {
		p.byOperation = map[string]*retry.AdaptiveMode{}
	}
	a := p.byOperation[operation]
	if a == nil {
		a = retry.NewAdaptiveMode(func(o *retry.AdaptiveModeOptions) {
			o.StandardOptions = append(o.StandardOptions, func(s *retry.StandardOptions) { s.MaxAttempts = paceAttempts })
		})
		p.byOperation[operation] = a
	}
	return a
}

// MaxAttempts is how often a call is tried.
func (p *Pace) MaxAttempts() int { return paceAttempts }

// IsErrorRetryable is as in the SDK's standard mode.
func (p *Pace) IsErrorRetryable(err error) bool { return p.named("").IsErrorRetryable(err) }

// RetryDelay is as in the SDK's standard mode.
func (p *Pace) RetryDelay(attempt int, err error) (time.Duration, error) {
	return p.named("").RetryDelay(attempt, err)
}

// GetRetryToken ends the tries of a call if too many calls of its operation fail.
func (p *Pace) GetRetryToken(ctx context.Context, err error) (func(error) error, error) {
	return p.of(ctx).GetRetryToken(ctx, err)
}

// GetInitialToken is not called where there is GetAttemptToken, and costs nothing.
func (p *Pace) GetInitialToken() func(error) error { return func(error) error { return nil } }

// GetAttemptToken waits until another call of the operation may go out, or ctx ends.
func (p *Pace) GetAttemptToken(ctx context.Context) (func(error) error, error) {
	return p.of(ctx).GetAttemptToken(ctx)
}
