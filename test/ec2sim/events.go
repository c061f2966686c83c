package ec2sim

import (
	"encoding/json"
	"fmt"
	"time"
)

// An event is what EventBridge puts into the queue.
type event struct {
	Version    string    `json:"version"`
	ID         string    `json:"id"`
	DetailType string    `json:"detail-type"`
	Source     string    `json:"source"`
	Account    string    `json:"account"`
	Time       time.Time `json:"time"`
	Region     string    `json:"region"`
	Resources  []string  `json:"resources"`
	Detail     any       `json:"detail"`
}

// send puts an event about an instance into the queue. The caller holds the lock.
func (s *Server) send(kind string, id string, detail any) {
	body, err := json.Marshal(event{
		Version: "0", ID: s.requestID(), DetailType: kind, Source: "aws.ec2", Account: s.opts.Account, Time: now().UTC().Truncate(time.Second),
		Region: s.opts.Region, Resources: []string{fmt.Sprintf("arn:aws:ec2:%s:%s:instance/%s", s.opts.Region, s.opts.Account, id)}, Detail: detail,
	})
	if err != nil {
		panic(fmt.Sprintf("encoding an event: %v", err)) // no value of ours can do this
	}
	s.queue.put(string(body))
}

// announce tells of an instance's new state. The caller holds the lock.
func (s *Server) announce(i *instance) {
	s.opts.Logf("%s is %s", i.id, i.state)
	s.send("EC2 Instance State-change Notification", i.id, map[string]string{"instance-id": i.id, "state": i.state})
}

// Interrupt warns of a spot interruption, and takes the instance back after
// Delays.Warning. It says whether there is such a living spot instance.
func (s *Server) Interrupt(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(id)
	if i == nil || !i.alive() || i.lifecycle() != "spot" || s.ctx.Err() != nil {
		return false
	}
	s.send("EC2 Spot Instance Interruption Warning", id, map[string]string{"instance-id": id, "instance-action": "terminate"})
	// The warning may be answered in time: whoever terminates the instance first keeps
	// EC2 from taking it, and the reason that is shown is theirs.
	s.wg.Go(func() {
		if !s.rest(i.stop, i.delays.Warning) {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if i.alive() {
			s.shutDown(i, "Server.SpotInstanceTermination", "Server.SpotInstanceTermination: Instance terminated due to spot interruption")
		}
	})
	return true
}

// Recommend sends a rebalance recommendation for an instance. Nothing follows.
func (s *Server) Recommend(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.send("EC2 Instance Rebalance Recommendation", id, map[string]string{"instance-id": id})
}

// Schedule sends an AWS Health event: a maintenance that will stop the instance.
func (s *Server) Schedule(id, code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, err := json.Marshal(event{
		Version: "0", ID: s.requestID(), DetailType: "AWS Health Event", Source: "aws.health", Account: s.opts.Account,
		Time: now().UTC().Truncate(time.Second), Region: s.opts.Region, Resources: []string{id},
		Detail: map[string]any{"service": "EC2", "eventTypeCategory": "scheduledChange", "eventTypeCode": code,
			"affectedEntities": []map[string]string{{"entityValue": id}}},
	})
	if err != nil {
		panic(fmt.Sprintf("encoding an event: %v", err))
	}
	s.queue.put(string(body))
}

// SendMessage puts any text into the queue.
func (s *Server) SendMessage(body string) { s.queue.put(body) }
