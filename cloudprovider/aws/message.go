package aws

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// spotWarning is how long ahead EC2 warns of the interruption of a spot instance, whose message does
// not say when it will be, and of one in an interruptible capacity reservation.
const spotWarning = 2 * time.Minute

// A message is what EventBridge puts into the queue.
type message struct {
	DetailType string `json:"detail-type"`
	Source     string `json:"source"`
	Time       moment `json:"time"`
	Detail     detail `json:"detail"`
}

// A moment is a time. One that cannot be read is zero, since the rest of its message counts.
type moment struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler. It returns no error.
func (m *moment) UnmarshalJSON(text []byte) error {
	if m.Time.UnmarshalJSON(text) != nil {
		m.Time = time.Time{}
	}
	return nil
}

// A detail has the fields of all kinds of messages that are read.
type detail struct {
	InstanceID string `json:"instance-id"`
	// State of an instance, of a notification that it has changed.
	State types.InstanceStateName `json:"state"`
	// Terminates is of interruptible capacity reservations.
	Terminates moment `json:"instance-termination-time"`
	// The others are of AWS Health.
	Service    string `json:"service"`
	Category   string `json:"eventTypeCategory"`
	StatusCode string `json:"statusCode"` // open, upcoming or closed
	Affected   []struct {
		Entity string `json:"entityValue"`
	} `json:"affectedEntities"`
}

// readMessage returns what a message says, one notice for each instance. One that is not understood
// or concerns no instance is a NoOp.
func readMessage(id, body string) []cloudprovider.Notice {
	nothing := cloudprovider.Notice{ID: id, Kind: cloudprovider.NoOp}
	var m message
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		return []cloudprovider.Notice{nothing}
	}
	nothing.Sent = m.Time.Time
	n := nothing
	n.Instance, n.Urge = m.Detail.InstanceID, cloudprovider.Drain
	switch m.Source + "/" + m.DetailType {
	case "aws.ec2/EC2 Spot Instance Interruption Warning":
		n.Kind, n.At = cloudprovider.SpotInterrupted, m.Time.Add(spotWarning)
	case "aws.ec2/EC2 Capacity Reservation Instance Interruption Warning":
		if n.Kind, n.At = cloudprovider.CapacityReservationInterrupted, m.Detail.Terminates.Time; n.At.IsZero() {
			n.At = m.Time.Add(spotWarning)
		}
	case "aws.ec2/EC2 Instance Rebalance Recommendation":
		n.Kind, n.Urge = cloudprovider.RebalanceRecommendation, cloudprovider.Advise
	case "aws.ec2/EC2 Instance State-change Notification":
		n.Kind, n.Urge = stateKind(m.Detail.State), cloudprovider.Force
	case "aws.health/AWS Health Event":
		return healthNotices(m, nothing)
	default:
		return []cloudprovider.Notice{nothing}
	}
	if n.Instance == "" || n.Kind == cloudprovider.NoOp {
		return []cloudprovider.Notice{nothing}
	}
	return []cloudprovider.Notice{n}
}

// stateKind is the kind of a notice that an instance has changed to a state.
func stateKind(state types.InstanceStateName) string {
	switch state {
	case types.InstanceStateNameStopping, types.InstanceStateNameStopped:
		return cloudprovider.InstanceStopped
	case types.InstanceStateNameShuttingDown, types.InstanceStateNameTerminated:
		return cloudprovider.InstanceTerminated
	}
	return cloudprovider.NoOp
}

// healthNotices returns what an event of AWS Health says: of EC2's scheduled changes that instances
// are affected. When they begin is not read, since EC2 itself says that of each instance.
func healthNotices(m message, nothing cloudprovider.Notice) []cloudprovider.Notice {
	d := m.Detail
	var all []cloudprovider.Notice
	if d.Service == "EC2" && d.Category == "scheduledChange" && d.StatusCode != "closed" {
		for _, a := range d.Affected {
			n := nothing
			n.Kind, n.Urge = cloudprovider.ScheduledChange, cloudprovider.Drain
			// An entity may be an ARN.
			if n.Instance = a.Entity[strings.LastIndexByte(a.Entity, '/')+1:]; strings.HasPrefix(n.Instance, "i-") {
				all = append(all, n)
			}
		}
	}
	if len(all) == 0 {
		return []cloudprovider.Notice{nothing}
	}
	return all
}
