package aws

import (
	"context"
	"fmt"
	"slices"
	"sync"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// SQS is what Interruptions call to read a queue.
type SQS interface {
	GetQueueUrl(ctx context.Context, in *sqs.GetQueueUrlInput, opts ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
	ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, opts ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessage(ctx context.Context, in *sqs.DeleteMessageInput, opts ...func(*sqs.Options)) (*sqs.DeleteMessageOutput, error)
}

// Interruptions are what AWS says of instances: in messages that EventBridge puts into a queue, and
// when it is asked for their status. It is a cloudprovider.Notifier. Somebody has to call Receive
// and Ask again and again; the lock is held during neither.
type Interruptions struct {
	// Queue is the name of the queue; SQS its client.
	Queue string
	SQS   SQS
	// EC2 is asked for the status.
	EC2 StatusAPI

	mu      sync.Mutex
	url     string   // of the queue; empty until it was asked for
	letters []letter // in the order of arrival, until they are Done
	ailing  []cloudprovider.Notice
}

var _ cloudprovider.Notifier = (*Interruptions)(nil)

// A letter is a message that was received, with what it says.
type letter struct {
	id, receipt string // the receipt is the latest
	notices     []cloudprovider.Notice
}

// How the queue is read: as many messages at once as SQS gives, waiting for the first as long as it
// lets us. One that is not deleted in time is given again.
const (
	receiveAtOnce     = 10
	receiveWait       = 20 // seconds
	receiveVisibility = 20 // seconds
)

// Receive waits for messages, up to twenty seconds, and takes in those that come.
func (i *Interruptions) Receive(ctx context.Context) error {
	url, err := i.queueURL(ctx)
	if err != nil {
		return err
	}
	out, err := i.SQS.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: sdk.String(url), MaxNumberOfMessages: receiveAtOnce, WaitTimeSeconds: receiveWait, VisibilityTimeout: receiveVisibility,
	})
	i.mu.Lock()
	defer i.mu.Unlock()
	if err != nil {
		i.url = "" // it may be another queue of that name by now
		return fmt.Errorf("receiving from queue %s: %w", i.Queue, err)
	}
	for _, m := range out.Messages {
		i.take(m)
	}
	return nil
}

// take takes a message in. One that is there already has a new receipt. The lock is held.
func (i *Interruptions) take(m types.Message) {
	id, receipt := sdk.ToString(m.MessageId), sdk.ToString(m.ReceiptHandle)
	at := slices.IndexFunc(i.letters, func(l letter) bool { return l.id == id })
	if at >= 0 {
		i.letters[at].receipt = receipt
		return
	}
	i.letters = append(i.letters, letter{id, receipt, readMessage(id, sdk.ToString(m.Body))})
}

// queueURL returns the URL of the queue, and asks for it once.
func (i *Interruptions) queueURL(ctx context.Context) (string, error) {
	i.mu.Lock()
	url := i.url
	i.mu.Unlock()
	if url != "" {
		return url, nil
	}
	out, err := i.SQS.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: sdk.String(i.Queue)})
	if err != nil {
		return "", fmt.Errorf("looking for queue %s: %w", i.Queue, err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.url = sdk.ToString(out.QueueUrl)
	return i.url, nil
}

// Waiting is how many messages were received and are not Done.
func (i *Interruptions) Waiting() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.letters)
}

// Notices returns what the messages say that are not Done, and what was found when EC2 was asked
// last.
func (i *Interruptions) Notices() []cloudprovider.Notice {
	i.mu.Lock()
	defer i.mu.Unlock()
	var all []cloudprovider.Notice
	for _, l := range i.letters {
		all = append(all, l.notices...)
	}
	return append(all, i.ailing...)
}

// Done deletes the messages that say nothing but what is done, and forgets them. Those that cannot be
// deleted come again from the queue, with another receipt: kept here they would hold up the others.
// What was found by asking is forgotten until it is found again.
func (i *Interruptions) Done(ctx context.Context, done []cloudprovider.Notice) error {
	over := i.over(done)
	if len(over) == 0 {
		return nil
	}
	url, err := i.queueURL(ctx)
	if err != nil {
		return err
	}
	for _, l := range over {
		if _, err = i.SQS.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: sdk.String(url), ReceiptHandle: sdk.String(l.receipt)}); err != nil {
			err = fmt.Errorf("deleting message %s: %w", l.id, err)
			break // the others would hardly fare better
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.letters = slices.DeleteFunc(i.letters, func(l letter) bool {
		return slices.ContainsFunc(over, func(o letter) bool { return o.id == l.id })
	})
	return err
}

// over returns the letters that say nothing but what is done, and forgets what was asked for and is.
func (i *Interruptions) over(done []cloudprovider.Notice) (over []letter) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ailing = slices.DeleteFunc(slices.Clone(i.ailing), func(n cloudprovider.Notice) bool { return slices.Contains(done, n) })
	for _, l := range i.letters {
		if !slices.ContainsFunc(l.notices, func(n cloudprovider.Notice) bool { return !slices.Contains(done, n) }) {
			over = append(over, l)
		}
	}
	return over
}
