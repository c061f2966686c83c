package main

import (
	"context"
	"errors"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/stowage-sh/stowage/provisioner/interrupt"
)

const (
	// statusInterval is the time between two looks at the status of instances.
	statusInterval = time.Minute
	// maxWaiting is how many messages may wait to be dealt with before no more are received.
	maxWaiting = 100
	// receiveRetry is how long to wait after the queue could not be read.
	receiveRetry = 10 * time.Second
)

// interruption hears what AWS says of instances: in the queue, if there is one, and by asking for
// their status. Only the process that acts does, since a message that is received is hidden from
// others for a while.
func (w *wiring) interruption() error {
	const name = "interruption"
	c := &interrupt.Controller{
		Cluster: w.cluster, Write: w.write, Events: w.events, Metrics: w.instruments.interrupt,
		Notifier: w.cloud.interruptions, Availability: w.cloud.availability, Rebalance: w.settings.rebalance,
	}
	errs := []error{
		w.addRetrying(hasty, name, 1, singleton(c.Step), once()),
		w.manager.Add(manager.RunnableFunc(refresh("the status of instances", statusInterval, w.askStatus))),
	}
	if w.settings.interruptionQueue != "" {
		errs = append(errs, w.manager.Add(manager.RunnableFunc(w.receive)))
	}
	return errors.Join(errs...)
}

// askStatus asks for the status of instances, unless another provisioner lives.
func (w *wiring) askStatus(ctx context.Context) error {
	if _, ok := w.guard.clear(); !ok {
		return nil
	}
	return w.cloud.interruptions.Ask(ctx, time.Now())
}

// receive reads the queue until ctx ends.
func (w *wiring) receive(ctx context.Context) error {
	for ctx.Err() == nil {
		wait, ok := w.guard.clear()
		switch {
		case !ok:
		case w.cloud.interruptions.Waiting() >= maxWaiting:
			wait = time.Second
		default:
			if err := w.cloud.interruptions.Receive(ctx); err != nil && ctx.Err() == nil {
				log.FromContext(ctx).Error(err, "reading the interruption queue")
				wait = receiveRetry
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	return nil
}
