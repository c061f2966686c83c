package aws

import (
	"strings"

	"golang.org/x/time/rate"
)

// A Limit is how often AWS lets one account call one operation in one region: each call takes a token from a bucket that
// holds Capacity at most, begins full, and gets PerSecond more once a second.
type Limit struct{ Capacity, PerSecond int }

// Limits of EC2 by category of operations: "Request throttling for the Amazon EC2 API" in the Amazon EC2 developer guide
// (docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html). A category says how large the buckets are; each
// operation has one of its own.
var (
	nonMutating = Limit{100, 20}
	mutating    = Limit{50, 5}
)

// limits are those of single operations.
var limits = map[string]Limit{
	// The bucket for calls with neither filters nor pages. Ours have the larger one where they have either; this is within both.
	"ec2.DescribeInstances":      {50, 10},
	"ec2.DescribeInstanceStatus": {50, 10},
	"ec2.DescribeSecurityGroups": {50, 10},

	// The same page, "uncategorized actions".
	"ec2.CreateTags":         {100, 10},
	"ec2.RunInstances":       {5, 2},
	"ec2.TerminateInstances": {100, 5},

	// "AWS Price List Query API", quotas, in the AWS Billing user guide.
	"pricing.GetProducts": {10, 5},

	// 40 a second with GetParameters and GetParametersByPath, which we do not call: "AWS Systems Manager endpoints and quotas"
	// in the AWS General Reference. That is no bucket; half of it at once and half within the second are 40.
	"ssm.GetParameter": {40, 20},
}

// LimitOf is the documented limit of an operation of a service, whose name is its ID in the SDK, in any case. It is what an account
// has that was granted no more. Of IAM, EKS and Savings Plans AWS documents none; requests to standard queues of SQS have none.
func LimitOf(service, operation string) (Limit, bool) {
	service = strings.ToLower(service)
	if l, ok := limits[service+"."+operation]; ok {
		return l, true
	}
	switch {
	case service != "ec2":
		return Limit{}, false
	case strings.HasPrefix(operation, "Describe"):
		return nonMutating, true
	default:
		return mutating, true
	}
}

// bucket keeps calls within the limit. What a second adds is held back: we cannot know when in a second AWS adds it, nor how
// long each call is on its way.
func (l Limit) bucket() *rate.Limiter {
	return rate.NewLimiter(rate.Limit(l.PerSecond), l.Capacity-l.PerSecond)
}
