package conformance_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/stowage-sh/stowage/cloudprovider/aws"
)

// overdrawn replays an operation's calls, in order, through its bucket and returns the first for which no token can be relied on, or -1.
// The bucket may have been full before any of them, and gets nothing until a second later at the worst: AWS adds tokens once
// a second, and does not say when.
func overdrawn(l aws.Limit, at []time.Time) int {
	for last := range at {
		for first := range last + 1 {
			full := int(at[last].Sub(at[first]) / time.Second)
			if last-first+1 > l.Capacity+full*l.PerSecond {
				return last
			}
		}
	}
	return -1
}

// busiest is the most calls, in order, within any one second.
func busiest(at []time.Time) (most int) {
	first := 0
	for last := range at {
		for at[last].Sub(at[first]) >= time.Second {
			first++
		}
		most = max(most, last-first+1)
	}
	return most
}

// TestOverdrawn finds the call that is one too many.
func TestOverdrawn(t *testing.T) {
	limit := aws.Limit{Capacity: 5, PerSecond: 2}
	for name, c := range map[string]struct {
		at      []float64 // seconds
		want    int
		busiest int
	}{
		"none":                          {nil, -1, 0},
		"all at once":                   {[]float64{0, 0, 0, 0, 0}, -1, 5},
		"one more":                      {[]float64{0, 0, 0, 0, 0, 0}, 5, 6},
		"one more before any was added": {[]float64{0, 0, 0, 0, 0, 0.9}, 5, 6},
		"two a second":                  {[]float64{0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 3}, -1, 5},
		"three in one of them":          {[]float64{0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 3}, 9, 5},
		"full again":                    {[]float64{0, 0, 0, 0, 0, 3, 3, 3, 3, 3}, -1, 5},
		"never fuller than full":        {[]float64{0, 60, 60, 60, 60, 60, 60}, 6, 6},
	} {
		var at []time.Time
		for _, s := range c.at {
			at = append(at, time.Unix(0, 0).Add(time.Duration(s*float64(time.Second))))
		}
		if got := overdrawn(limit, at); got != c.want {
			t.Errorf("%s: call %d, want %d", name, got, c.want)
		}
		if got := busiest(at); got != c.busiest {
			t.Errorf("%s: %d in the busiest second, want %d", name, got, c.busiest)
		}
	}
}

// A wire notes when requests go out, and answers each with nothing.
type wire struct {
	mu sync.Mutex
	at []time.Time
}

func (w *wire) Do(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = append(w.at, time.Now())
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("<Response/>")), Request: r}, nil
}

// TestPacedCallsAreWithinLimits: of 1,000 callers of an operation at once, each is let through when there is a token for it, and takes
// no longer than it has to. Without a pace most are too early.
func TestPacedCallsAreWithinLimits(t *testing.T) {
	for name, call := range map[string]func(context.Context, *ec2.Client) error{
		"CreateFleet": func(ctx context.Context, c *ec2.Client) error {
			_, err := c.CreateFleet(ctx, &ec2.CreateFleetInput{
				LaunchTemplateConfigs:       []types.FleetLaunchTemplateConfigRequest{},
				TargetCapacitySpecification: &types.TargetCapacitySpecificationRequest{TotalTargetCapacity: sdk.Int32(1)},
			})
			return err
		},
		"TerminateInstances": func(ctx context.Context, c *ec2.Client) error {
			_, err := c.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{"i-0"}})
			return err
		},
		"DescribeInstances": func(ctx context.Context, c *ec2.Client) error {
			_, err := c.DescribeInstances(ctx, &ec2.DescribeInstancesInput{})
			return err
		},
	} {
		limit, _ := aws.LimitOf("EC2", name)
		paced, early := callers(t, 1000, &aws.Pace{}, call), callers(t, 1000, retry.NewStandard(), call)
		took := paced[len(paced)-1].Sub(paced[0])
		t.Logf("%s: 1,000 calls take %v", name, took.Round(time.Millisecond))
		if i := overdrawn(limit, paced); i >= 0 {
			t.Errorf("%s: call %d, %v after the first, is more than %+v lets through", name, i+1, paced[i].Sub(paced[0]), limit)
		}
		if i := overdrawn(limit, early); i != limit.Capacity {
			t.Errorf("%s: without a pace call %d is the first that is one too many", name, i+1)
		}
		if most := time.Duration(1001-limit.Capacity+limit.PerSecond) * time.Second / time.Duration(limit.PerSecond); took > most {
			t.Errorf("%s: 1,000 calls take %v, and could be made within %v", name, took, most)
		}
	}
}

// callers are so many at once, in virtual time; it returns when their calls went out.
func callers(t *testing.T, n int, r sdk.Retryer, call func(context.Context, *ec2.Client) error) []time.Time {
	w := &wire{}
	synctest.Test(t, func(t *testing.T) {
		client := ec2.NewFromConfig(sdk.Config{
			Region: region, HTTPClient: w, Retryer: func() sdk.Retryer { return r },
			Credentials: credentials.NewStaticCredentialsProvider("AKIDSIMULATED0000000", "simulated", ""),
		})
		var group sync.WaitGroup
		for range n {
			group.Go(func() {
				if err := call(t.Context(), client); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
	})
	return w.at
}
