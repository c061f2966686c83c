package interrupt

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A saying is how users are told of a kind of notice: the reason of the event, which is
// Karpenter's, and what it means.
type saying struct{ reason, meaning string }

var sayings = map[string]saying{
	cloudprovider.SpotInterrupted:                {"SpotInterrupted", "the cloud takes the spot instance back"},
	cloudprovider.CapacityReservationInterrupted: {"CapacityReservationInstanceInterrupted", "the owner of the capacity reservation takes the instance back"},
	cloudprovider.RebalanceRecommendation:        {"SpotRebalanceRecommendation", "the spot instance is more likely than others to be taken back"},
	cloudprovider.InstanceStopped:                {"InstanceStopping", "the instance stops"},
	cloudprovider.InstanceTerminated:             {"InstanceTerminating", "the instance is terminated"},
	cloudprovider.ScheduledChange:                {"InstanceUnhealthy", "the cloud plans maintenance of the instance"},
	cloudprovider.EventStatus:                    {"InstanceUnhealthy", "the cloud plans maintenance of the instance"},
	cloudprovider.InstanceStatus:                 {"InstanceUnhealthy", "the status check of the instance fails"},
	cloudprovider.SystemStatus:                   {"InstanceUnhealthy", "the status check of the instance's host fails"},
}

// of returns how to tell of a kind; one that is not known here is told by its name.
func of(kind string) saying {
	if s, ok := sayings[kind]; ok {
		return s
	}
	return saying{"InstanceUnhealthy", "the cloud says " + kind}
}

// sentence says what a notice means, and by when its node is to be empty.
func (i interruption) sentence() string {
	text := of(i.Kind).meaning
	if !i.deadline.IsZero() {
		text += "; its pods have to be gone by " + i.deadline.UTC().Format(time.RFC3339)
	}
	return text
}

// tell tells users of a claim and of its node about a notice.
func (c *Controller) tell(s *state.Snapshot, claim *v1.NodeClaim, n cloudprovider.Notice) {
	kind, say := corev1.EventTypeWarning, of(n.Kind)
	if n.Urge == cloudprovider.Advise {
		kind = corev1.EventTypeNormal
	}
	c.Events.Event(claim, kind, say.reason, n.Kind+": "+say.meaning)
	if node, ok := s.NodeOf(claim); ok {
		c.Events.Event(node, kind, say.reason, n.Kind+": "+say.meaning)
	}
}
