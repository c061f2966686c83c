package cloudprovider

import (
	"context"
	"time"
)

// The kinds of notices, as Karpenter's metrics and logs spell them.
const (
	SpotInterrupted                = "spot_interrupted"
	CapacityReservationInterrupted = "capacity_reservation_interrupted"
	ScheduledChange                = "scheduled_change"
	InstanceStopped                = "instance_stopped"
	InstanceTerminated             = "instance_terminated"
	RebalanceRecommendation        = "rebalance_recommendation"
	InstanceStatus                 = "instance_status"
	SystemStatus                   = "system_status"
	EventStatus                    = "event_status"
	// NoOp is of a message that says nothing which concerns nodes, or cannot be read.
	NoOp = "no_op"
)

// A Notice is what a cloud says of one of its instances: that it takes it, stops it or
// thinks ill of it. It may concern an instance that is nobody's, and come again.
type Notice struct {
	// ID of the message that it came with; empty if it was found out by asking, which is done
	// again and again as long as it holds.
	ID string
	// Kind is one of the constants above.
	Kind string
	// Instance is its ID; empty if the notice is about none.
	Instance string
	// At is when the instance is taken or stopped; zero if that is not known.
	At time.Time
	// Urge is what the cloud expects.
	Urge Urge
	// Sent is when the cloud said it.
	Sent time.Time
}

// An Urge is what a notice asks for.
type Urge int

const (
	// Advise asks for nothing: the instance may be taken some day.
	Advise Urge = iota
	// Drain asks for the instance to be empty before At, or soon.
	Drain
	// Force tells that the instance is of no use any more: nobody on it is to be waited for.
	Force
)

// A Notifier has what a cloud said. Its methods may be called by many goroutines at once.
type Notifier interface {
	// Notices returns what was said and is not Done, in order. It waits for nothing: somebody
	// else listens.
	Notices() []Notice
	// Done says that all that follows from some notices is written down, so that they need not
	// come again. They may all the same, and do if it fails.
	Done(ctx context.Context, notices []Notice) error
}
