package aws

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/stowage-sh/stowage/cloudprovider"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// event is a message as EventBridge writes it, of noon.
func event(source, kind, detail string) string {
	return `{"version":"0","id":"7bf73129-1428-4cd3-a780-95db273d1602","detail-type":"` + kind + `","source":"` + source + `","account":"123456789012",` +
		`"time":"2026-03-02T12:00:00Z","region":"us-east-1","resources":["arn:aws:ec2:us-east-1:123456789012:instance/i-1"],"detail":` + detail + `}`
}

// TestReadMessage: messages as AWS documents them.
func TestReadMessage(t *testing.T) {
	notice := func(kind string, urge cloudprovider.Urge, at time.Time) cloudprovider.Notice {
		return cloudprovider.Notice{ID: "m", Kind: kind, Instance: "i-1", Urge: urge, At: at, Sent: noon}
	}
	nothing := cloudprovider.Notice{ID: "m", Kind: cloudprovider.NoOp, Sent: noon}
	second := notice(cloudprovider.ScheduledChange, cloudprovider.Drain, time.Time{})
	second.Instance = "i-2"
	health := func(service, category, status string) string {
		return event("aws.health", "AWS Health Event", `{"eventArn":"arn:aws:health:us-east-1::event/EC2/x","service":"`+service+`","eventTypeCode":"AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED",`+
			`"eventTypeCategory":"`+category+`","statusCode":"`+status+`","startTime":"Mon, 16 Mar 2026 12:00:00 GMT","eventDescription":[{"language":"en_US","latestDescription":"text"}],`+
			`"affectedEntities":[{"entityValue":"i-1"},{"entityValue":"arn:aws:ec2:us-east-1:123456789012:instance/i-2"},{"entityValue":"vol-1"}]}`)
	}
	state := func(s string) string {
		return event("aws.ec2", "EC2 Instance State-change Notification", `{"instance-id":"i-1","state":"`+s+`"}`)
	}
	for name, c := range map[string]struct {
		body string
		want []cloudprovider.Notice
	}{
		"spot": {event("aws.ec2", "EC2 Spot Instance Interruption Warning", `{"instance-id":"i-1","instance-action":"terminate"}`),
			[]cloudprovider.Notice{notice(cloudprovider.SpotInterrupted, cloudprovider.Drain, noon.Add(2*time.Minute))}},
		"reservation": {event("aws.ec2", "EC2 Capacity Reservation Instance Interruption Warning", `{"instance-id":"i-1","instance-action":"terminate","instance-termination-time":"2026-03-02T12:01:30Z","azId":"use1-az1"}`),
			[]cloudprovider.Notice{notice(cloudprovider.CapacityReservationInterrupted, cloudprovider.Drain, noon.Add(90*time.Second))}},
		"reservation, time unknown": {event("aws.ec2", "EC2 Capacity Reservation Instance Interruption Warning", `{"instance-id":"i-1","instance-termination-time":"Mon, 02 Mar 2026 12:01:30 GMT"}`),
			[]cloudprovider.Notice{notice(cloudprovider.CapacityReservationInterrupted, cloudprovider.Drain, noon.Add(2*time.Minute))}},
		"reservation, no time": {event("aws.ec2", "EC2 Capacity Reservation Instance Interruption Warning", `{"instance-id":"i-1"}`),
			[]cloudprovider.Notice{notice(cloudprovider.CapacityReservationInterrupted, cloudprovider.Drain, noon.Add(2*time.Minute))}},
		"rebalance": {event("aws.ec2", "EC2 Instance Rebalance Recommendation", `{"instance-id":"i-1"}`),
			[]cloudprovider.Notice{notice(cloudprovider.RebalanceRecommendation, cloudprovider.Advise, time.Time{})}},
		"stopping":      {state("stopping"), []cloudprovider.Notice{notice(cloudprovider.InstanceStopped, cloudprovider.Force, time.Time{})}},
		"stopped":       {state("stopped"), []cloudprovider.Notice{notice(cloudprovider.InstanceStopped, cloudprovider.Force, time.Time{})}},
		"shutting down": {state("shutting-down"), []cloudprovider.Notice{notice(cloudprovider.InstanceTerminated, cloudprovider.Force, time.Time{})}},
		"terminated":    {state("terminated"), []cloudprovider.Notice{notice(cloudprovider.InstanceTerminated, cloudprovider.Force, time.Time{})}},
		"running":       {state("running"), []cloudprovider.Notice{nothing}},
		"scheduled":     {health("EC2", "scheduledChange", "upcoming"), []cloudprovider.Notice{notice(cloudprovider.ScheduledChange, cloudprovider.Drain, time.Time{}), second}},
		"over":          {health("EC2", "scheduledChange", "closed"), []cloudprovider.Notice{nothing}},
		"an issue":      {health("EC2", "issue", "open"), []cloudprovider.Notice{nothing}},
		"of RDS":        {health("RDS", "scheduledChange", "open"), []cloudprovider.Notice{nothing}},
		"unknown":       {event("aws.ec2", "EC2 Fleet Instance Change", `{"instance-id":"i-1"}`), []cloudprovider.Notice{nothing}},
		"of another":    {event("com.example", "EC2 Spot Instance Interruption Warning", `{"instance-id":"i-1"}`), []cloudprovider.Notice{nothing}},
		"no instance":   {event("aws.ec2", "EC2 Spot Instance Interruption Warning", `{}`), []cloudprovider.Notice{nothing}},
		"not JSON":      {"hello", []cloudprovider.Notice{{ID: "m", Kind: cloudprovider.NoOp}}},
		"other JSON":    {`{"detail":[1]}`, []cloudprovider.Notice{{ID: "m", Kind: cloudprovider.NoOp}}},
	} {
		if got := readMessage("m", c.body); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

// A mailbox is a queue that gives what it holds until it is deleted, each time with another receipt.
type mailbox struct {
	SQS
	messages map[string]string // bodies by ID
	given    int
	deleted  []string // receipts
	refuses  error
}

func (m *mailbox) GetQueueUrl(_ context.Context, in *sqs.GetQueueUrlInput, _ ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error) {
	return &sqs.GetQueueUrlOutput{QueueUrl: sdk.String("https://queue/" + *in.QueueName)}, nil
}

func (m *mailbox) ReceiveMessage(_ context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	if *in.QueueUrl != "https://queue/q" || in.WaitTimeSeconds != 20 || in.MaxNumberOfMessages != 10 {
		return nil, errors.New("not as it should be")
	}
	m.given++
	out := &sqs.ReceiveMessageOutput{}
	for id, body := range m.messages {
		receipt := id + strings.Repeat("'", m.given)
		out.Messages = append(out.Messages, sqstypes.Message{MessageId: sdk.String(id), ReceiptHandle: sdk.String(receipt), Body: sdk.String(body)})
	}
	return out, nil
}

func (m *mailbox) DeleteMessage(_ context.Context, in *sqs.DeleteMessageInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageOutput, error) {
	if m.refuses != nil {
		return nil, m.refuses
	}
	m.deleted = append(m.deleted, *in.ReceiptHandle)
	return &sqs.DeleteMessageOutput{}, nil
}

// TestQueue: a message that comes twice is there once, and is deleted by its last receipt when all
// that it says is done, and not before.
func TestQueue(t *testing.T) {
	q := &mailbox{messages: map[string]string{"m": event("aws.health", "AWS Health Event", `{"service":"EC2","eventTypeCategory":"scheduledChange","affectedEntities":[{"entityValue":"i-1"},{"entityValue":"i-2"}]}`)}}
	i := &Interruptions{Queue: "q", SQS: q}
	for range 2 {
		if err := i.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	notices := i.Notices()
	if len(notices) != 2 || i.Waiting() != 1 {
		t.Fatalf("notices %v", notices)
	}
	if err := i.Done(t.Context(), notices[:1]); err != nil || i.Waiting() != 1 || len(q.deleted) > 0 {
		t.Errorf("with one of two done: %v, deleted %v", err, q.deleted)
	}
	if err := i.Done(t.Context(), notices); err != nil || i.Waiting() != 0 || !slices.Equal(q.deleted, []string{"m''"}) {
		t.Errorf("%v, deleted %v", err, q.deleted)
	}
}

// TestMessagesThatCannotBeDeleted: they are left to the queue, which gives them again. Were they kept,
// the first whose receipt is refused for good would hold up all others, until no more are received.
func TestMessagesThatCannotBeDeleted(t *testing.T) {
	q := &mailbox{messages: map[string]string{"a": "hello", "b": "hello"}, refuses: errors.New("ReceiptHandleIsInvalid")}
	i := &Interruptions{Queue: "q", SQS: q}
	receive := func() {
		if err := i.Receive(t.Context()); err != nil || i.Waiting() != 2 {
			t.Fatalf("%v, %d are waiting", err, i.Waiting())
		}
	}
	receive()
	if err := i.Done(t.Context(), i.Notices()); err == nil || i.Waiting() != 0 {
		t.Errorf("after a failure: %v, %d are waiting", err, i.Waiting())
	}
	q.refuses = nil
	receive()
	if err := i.Done(t.Context(), i.Notices()); err != nil || i.Waiting() != 0 || len(q.deleted) != 2 {
		t.Errorf("%v, deleted %v", err, q.deleted)
	}
}

// statuses answers a filter with the instances that it knows for it.
type statuses map[string][]types.InstanceStatus

func (s statuses) DescribeInstanceStatus(_ context.Context, in *ec2.DescribeInstanceStatusInput, _ ...func(*ec2.Options)) (*ec2.DescribeInstanceStatusOutput, error) {
	if s == nil {
		return nil, errors.New("throttled")
	}
	return &ec2.DescribeInstanceStatusOutput{InstanceStatuses: s[*in.Filters[0].Name]}, nil
}

// TestStatus: what counts of the status of instances, and for how long it is told.
func TestStatus(t *testing.T) {
	failing := func(since time.Duration) *types.InstanceStatusSummary {
		return &types.InstanceStatusSummary{Status: types.SummaryStatusImpaired, Details: []types.InstanceStatusDetails{{ImpairedSince: sdk.Time(noon.Add(-since))}}}
	}
	fine := &types.InstanceStatusSummary{Status: types.SummaryStatusOk, Details: []types.InstanceStatusDetails{{ImpairedSince: sdk.Time(noon.Add(-time.Hour))}}}
	silent := &types.InstanceStatusSummary{Status: types.SummaryStatusImpaired}
	planned := func(text string) types.InstanceStatusEvent {
		return types.InstanceStatusEvent{Code: types.EventCodeInstanceRetirement, Description: sdk.String(text), NotBefore: sdk.Time(noon.Add(time.Hour))}
	}
	both := types.InstanceStatus{InstanceId: sdk.String("i-3"), InstanceStatus: failing(2 * time.Minute), SystemStatus: failing(time.Hour)}
	i := &Interruptions{EC2: statuses{
		"instance-status.status": {
			{InstanceId: sdk.String("i-2"), InstanceStatus: failing(119 * time.Second), SystemStatus: fine},
			{InstanceId: sdk.String("i-4"), InstanceStatus: silent}, both,
		},
		"system-status.status": {both},
		"event.code": {{InstanceId: sdk.String("i-1"), InstanceStatus: fine, Events: []types.InstanceStatusEvent{
			planned("The instance is to be retired"), planned("[Completed] It was"), planned("[Canceled] It is not"),
		}}},
	}}
	want := []cloudprovider.Notice{
		{Kind: cloudprovider.EventStatus, Instance: "i-1", Urge: cloudprovider.Drain, At: noon.Add(time.Hour)},
		{Kind: cloudprovider.InstanceStatus, Instance: "i-3", Urge: cloudprovider.Force},
		{Kind: cloudprovider.SystemStatus, Instance: "i-3", Urge: cloudprovider.Force},
	}
	if err := i.Ask(t.Context(), noon); err != nil || !slices.Equal(i.Notices(), want) {
		t.Errorf("%v, got %+v", err, i.Notices())
	}
	if err := i.Done(t.Context(), want[:1]); err != nil || !slices.Equal(i.Notices(), want[1:]) {
		t.Errorf("%v, left %+v", err, i.Notices())
	}
	i.EC2 = statuses(nil)
	if err := i.Ask(t.Context(), noon); err == nil || !slices.Equal(i.Notices(), want[1:]) {
		t.Errorf("after a failure: %v, left %+v", err, i.Notices())
	}
}
