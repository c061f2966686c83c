package aws

import (
	"context"
	"fmt"
	"sync"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"golang.org/x/time/rate"
)

// paceAttempts is how often a call is tried. What launches and terminates is tried again by its
// controllers after that.
const paceAttempts = 5

// A Pace is how fast AWS may be called: an aws.RetryerV2 for all clients together. AWS counts the calls
// of an account by operation, so each operation has a measure of its own, which all its callers share. Calls stay within
// the operation's documented Limit. Where AWS throttles them all the same, since others call it too, they slow down to what
// it lets through, as in the SDK's adaptive mode. The zero value is ready, and may be used by many goroutines.
type Pace struct {
	mu          sync.Mutex
	byOperation map[string]*measure
}

var _ sdk.RetryerV2 = (*Pace)(nil)

// A measure is how fast one operation may be called.
type measure struct {
	*retry.AdaptiveMode
	bucket *rate.Limiter
}

// of is the measure of the operation that ctx is of.
func (p *Pace) of(ctx context.Context) *measure {
	return p.named(middleware.GetServiceID(ctx), middleware.GetOperationName(ctx))
}

func (p *Pace) named(service, operation string) *measure {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byOperation == nil {
		p.byOperation = map[string]*measure{}
	}
	key := service + "." + operation
	m := p.byOperation[key]
	if m == nil {
		m = &measure{bucket: rate.NewLimiter(rate.Inf, 0)}
		if limit, ok := LimitOf(service, operation); ok {
			m.bucket = limit.bucket()
		}
		m.AdaptiveMode = retry.NewAdaptiveMode(func(o *retry.AdaptiveModeOptions) {
			o.StandardOptions = append(o.StandardOptions, func(s *retry.StandardOptions) { s.MaxAttempts = paceAttempts })
		})
		p.byOperation[key] = m
	}
	return m
}

// MaxAttempts is how often a call is tried.
func (p *Pace) MaxAttempts() int { return paceAttempts }

// IsErrorRetryable is as in the SDK's standard mode.
func (p *Pace) IsErrorRetryable(err error) bool { return p.named("", "").IsErrorRetryable(err) }

// RetryDelay is as in the SDK's standard mode.
func (p *Pace) RetryDelay(attempt int, err error) (time.Duration, error) {
	return p.named("", "").RetryDelay(attempt, err)
}

// GetRetryToken ends the tries of a call if too many calls of its operation fail.
func (p *Pace) GetRetryToken(ctx context.Context, err error) (func(error) error, error) {
	return p.of(ctx).GetRetryToken(ctx, err)
}

// GetInitialToken is not called where there is GetAttemptToken, and costs nothing.
func (p *Pace) GetInitialToken() func(error) error { return func(error) error { return nil } }

// GetAttemptToken waits until another call of the operation may go out, or ctx ends. The bucket comes last, so that nothing
// holds a call up that has its token.
func (p *Pace) GetAttemptToken(ctx context.Context) (func(error) error, error) {
	m := p.of(ctx)
	release, err := m.GetAttemptToken(ctx)
	if err != nil {
		return nil, err
	}
	if err := m.bucket.Wait(ctx); err != nil {
		return nil, fmt.Errorf("waiting for %s to be within its limit: %w", middleware.GetOperationName(ctx), err)
	}
	return release, nil
}
