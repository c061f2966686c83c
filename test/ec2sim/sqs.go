package ec2sim

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"
)

// A queue is an SQS queue. Its mutex is its own, since receivers wait.
type queue struct {
	name string

	mu       sync.Mutex
	messages []*message    // in the order of arrival
	changed  chan struct{} // closed and replaced when a message arrives
	next     int
}

// A message is hidden, not removed, when it is received: who does not delete it gets
// it again.
type message struct {
	id, body, receipt string // the receipt is the last that was given out
	received          int
	sent, hidden      time.Time // hidden until then
}

// newQueue makes an empty queue; one without a name does not exist.
func newQueue(name string) *queue { return &queue{name: name, changed: make(chan struct{})} }

// put adds a message, if the queue exists at all.
func (q *queue) put(body string) {
	if q.name == "" {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.next++
	q.messages = append(q.messages, &message{id: fmt.Sprintf("00000000-0000-4000-a000-%012d", q.next), body: body, sent: now()})
	close(q.changed)
	q.changed = make(chan struct{})
}

// A wireMessage is a message as ReceiveMessage tells it.
type wireMessage struct {
	MessageID  string            `json:"MessageId"`
	Receipt    string            `json:"ReceiptHandle"`
	MD5        string            `json:"MD5OfBody"`
	Body       string            `json:"Body"`
	Attributes map[string]string `json:"Attributes,omitempty"`
}

// take hides up to n messages for a while and returns them. When there are none,
// it returns a channel that is closed when one arrives, and when the first of
// the hidden ones comes back.
func (q *queue) take(n int, visibility time.Duration) ([]wireMessage, <-chan struct{}, time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []wireMessage
	var back time.Time
	at := now()
	for _, m := range q.messages {
		if m.hidden.After(at) {
			if back.IsZero() || m.hidden.Before(back) {
				back = m.hidden
			}
			continue
		}
		if len(out) == n {
			break
		}
		m.received++
		m.hidden = at.Add(visibility)
		m.receipt = fmt.Sprintf("%s#%d", m.id, m.received)
		sum := md5.Sum([]byte(m.body)) // SQS's own check; SDKs verify it
		out = append(out, wireMessage{m.id, m.receipt, hex.EncodeToString(sum[:]), m.body, map[string]string{
			"SentTimestamp": fmt.Sprint(m.sent.UnixMilli()), "ApproximateReceiveCount": fmt.Sprint(m.received),
		}})
	}
	return out, q.changed, back
}

// remove deletes the message of a receipt; one that is gone is no error.
func (q *queue) remove(receipt string) error {
	// A receipt that is not the last one deletes all the same, which SQS allows and does
	// not promise.
	id, _, ok := strings.Cut(receipt, "#")
	if !ok {
		return fail("ReceiptHandleIsInvalid", "The input receipt handle is invalid.")
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, m := range q.messages {
		if m.id == id {
			q.messages = append(q.messages[:i:i], q.messages[i+1:]...)
			return nil
		}
	}
	return nil
}

// A queueQuery has the fields of all requests to SQS that are understood.
type queueQuery struct {
	QueueName, QueueURL, ReceiptHandle                      string
	MaxNumberOfMessages, VisibilityTimeout, WaitTimeSeconds *int
}

// The names of SQS errors in its JSON protocol.
const (
	noSuchQueue     = "com.amazonaws.sqs#QueueDoesNotExist"
	maxVisibility   = 43200
	maxWait         = 20
	usualVisibility = 30
)

// serveSQS answers one call. It holds no lock while it waits.
func (s *Server) serveSQS(r request) (any, error) {
	var in queueQuery
	if err := json.Unmarshal(r.body, &in); err != nil {
		return nil, fail("SerializationException", "reading the request: %v", err)
	}
	// All calls but the first name the queue by the URL that the first answered.
	url := s.url + "/" + s.opts.Account + "/" + s.queue.name
	// A URL of another server, kept over a restart, is refused like a queue that does
	// not exist.
	if s.queue.name == "" || r.action == "GetQueueUrl" && in.QueueName != s.queue.name || r.action != "GetQueueUrl" && in.QueueURL != url {
		return nil, fail(noSuchQueue, "The specified queue does not exist.")
	}
	switch r.action {
	case "GetQueueUrl":
		return map[string]string{"QueueUrl": url}, nil
	case "ReceiveMessage":
		return s.receive(r, in)
	case "DeleteMessage":
		return nil, s.queue.remove(in.ReceiptHandle)
	}
	return nil, fail("InvalidAction", "The action %s is not valid for this endpoint.", r.action)
}

// within checks an optional number.
func within(name string, v *int, usual, least, most int) (int, error) {
	if v == nil {
		return usual, nil
	}
	if *v < least || *v > most {
		return 0, fail("InvalidParameterValue", "Value %d for parameter %s is invalid. Reason: Must be between %d and %d, if provided.", *v, name, least, most)
	}
	return *v, nil
}

// receive waits for the first message, up to WaitTimeSeconds.
func (s *Server) receive(r request, in queueQuery) (any, error) {
	n, err := within("MaxNumberOfMessages", in.MaxNumberOfMessages, 1, 1, 10)
	if err != nil {
		return nil, err
	}
	visibility, err := within("VisibilityTimeout", in.VisibilityTimeout, usualVisibility, 0, maxVisibility)
	if err != nil {
		return nil, err
	}
	wait, err := within("WaitTimeSeconds", in.WaitTimeSeconds, 0, 0, maxWait)
	if err != nil {
		return nil, err
	}
	until := now().Add(time.Duration(wait) * time.Second)
	for {
		got, changed, back := s.queue.take(n, time.Duration(visibility)*time.Second)
		if len(got) > 0 || !now().Before(until) {
			return struct {
				Messages []wireMessage `json:"Messages,omitempty"`
			}{got}, nil
		}
		// Wake for a new message, for a hidden one that comes back, or to give up.
		look := until
		if !back.IsZero() && back.Before(until) {
			look = back
		}
		select {
		case <-changed:
		case <-time.After(time.Until(look)):
		case <-r.http.Context().Done():
			return nil, fail("RequestTimeout", "the caller went away")
		case <-s.ctx.Done():
			return nil, fail("ServiceUnavailable", "the simulator is closing")
		}
	}
}

// QueueLength is the number of messages not yet deleted.
func (s *Server) QueueLength() int {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return len(s.queue.messages)
}
