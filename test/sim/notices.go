package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// Mail is what the cloud says of its machines: a cloudprovider.Notifier, which outlives processes.
// Its faults are fields.
type Mail struct {
	// Lag is the longest that a notice arrives late.
	Lag time.Duration
	// Repeats is the odds of a notice that was done coming again, as it was.
	Repeats float64
	// Loses is the odds of Done failing, before it had an effect or after.
	Loses float64
	// Sent counts the notices that arrived, those that came again included.
	Sent int

	world   *World
	waiting []cloudprovider.Notice
	serial  int
}

// spotWarning is how long ahead EC2 tells that it takes a spot instance.
const spotWarning = 2 * time.Minute

// Interrupt warns of the end of a machine as a kind of notice does, and ends it as is announced:
// spot instances in two minutes, whatever is scheduled in half an hour, those that fail or are
// stopped by others at once. A recommendation has no consequence.
func (c *Cloud) Interrupt(id, kind string) {
	n := cloudprovider.Notice{Kind: kind, Instance: id, Urge: cloudprovider.Drain, Sent: c.world.Now}
	switch kind {
	case cloudprovider.SpotInterrupted:
		n.At = c.world.Now.Add(spotWarning)
		c.world.After(spotWarning, func() { c.Kill(id) })
	case cloudprovider.EventStatus:
		n.At = c.world.Now.Add(30 * time.Minute)
		c.world.After(30*time.Minute, func() { c.Kill(id) })
	case cloudprovider.InstanceTerminated:
		n.Urge = cloudprovider.Force
		c.Kill(id)
	case cloudprovider.RebalanceRecommendation:
		n.Urge = cloudprovider.Advise
	case cloudprovider.SystemStatus:
		n.Urge = cloudprovider.Force
	}
	c.Mail.send(n)
}

// send delivers a notice after its lag.
func (m *Mail) send(n cloudprovider.Notice) {
	m.serial++
	n.ID = fmt.Sprint("message-", m.serial)
	m.world.trace("%s: %s", n.Instance, n.Kind)
	m.deliver(n)
}

func (m *Mail) deliver(n cloudprovider.Notice) {
	var lag time.Duration
	if m.Lag > 0 {
		lag = time.Duration(m.world.Rand.Int64N(int64(m.Lag)))
	}
	m.world.After(lag, func() {
		m.Sent++
		if !slices.ContainsFunc(m.waiting, func(o cloudprovider.Notice) bool { return o.ID == n.ID }) {
			m.waiting = append(m.waiting, n)
		}
	})
}

// Notices implements cloudprovider.Notifier.
func (m *Mail) Notices() []cloudprovider.Notice { return slices.Clone(m.waiting) }

// Done implements cloudprovider.Notifier.
func (m *Mail) Done(_ context.Context, notices []cloudprovider.Notice) error {
	fails := m.Loses > 0 && m.world.Rand.Float64() < m.Loses
	if fails && m.world.Rand.IntN(2) == 0 {
		return errors.New("the queue is not to be reached")
	}
	for _, n := range notices {
		m.waiting = slices.DeleteFunc(m.waiting, func(o cloudprovider.Notice) bool { return o.ID == n.ID })
		if m.Repeats > 0 && m.world.Rand.Float64() < m.Repeats {
			m.world.After(time.Duration(m.world.Rand.Int64N(int64(time.Minute))), func() { m.deliver(n) })
		}
	}
	if fails {
		return errors.New("the queue does not answer")
	}
	return nil
}
