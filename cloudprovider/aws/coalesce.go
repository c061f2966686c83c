package aws

import (
	"context"
	"sync"
	"time"
)

// batchTimeout bounds one batch, with all the tries of the SDK.
const batchTimeout = time.Minute

// A coalescer turns many calls about one thing each into few calls about many.
// It has no timer: while one batch is under way, what arrives waits and makes up
// the next one. Alone, a call goes out at once. The zero value is not usable:
// run and max must be set.
type coalescer struct {
	// run handles a batch without duplicates and returns an error for each key that it
	// could not handle.
	run func(ctx context.Context, keys []string) map[string]error
	// max is the size of the largest batch.
	max int
	// begin is told the size of a batch, and what it returns is called at its end; nil if nobody wants to know.
	begin func(size int) (end func())

	mu      sync.Mutex
	busy    bool
	waiting []*waiter
}

type waiter struct {
	ctx  context.Context
	key  string
	done chan error // takes one error without blocking
}

// do handles key in some batch and returns its error. When ctx ends first, the
// batch may go out all the same.
func (c *coalescer) do(ctx context.Context, key string) error {
	w := &waiter{ctx: ctx, key: key, done: make(chan error, 1)}
	c.mu.Lock()
	c.waiting = append(c.waiting, w)
	lead := !c.busy
	c.busy = true
	c.mu.Unlock()
	if lead {
		go c.drain()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-w.done:
		return err
	}
}

// drain runs batches until nobody waits.
func (c *coalescer) drain() {
	for {
		batch := c.take()
		if len(batch) == 0 {
			return
		}
		seen := map[string]bool{}
		var keys []string
		for _, w := range batch {
			if !seen[w.key] {
				seen[w.key] = true
				keys = append(keys, w.key)
			}
		}
		errs := c.bounded(batch[0].ctx, keys)
		for _, w := range batch {
			w.done <- errs[w.key]
		}
	}
}

// bounded runs a batch. It is everybody's, so no caller's end cancels it; but a
// server that never answers must not stop those who wait for the next one.
func (c *coalescer) bounded(ctx context.Context, keys []string) map[string]error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), batchTimeout)
	defer cancel()
	if c.begin != nil {
		defer c.begin(len(keys))()
	}
	return c.run(ctx, keys)
}

// take removes the next batch. Empty: nobody waits, and the next caller leads.
func (c *coalescer) take() []*waiter {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(c.waiting), c.max)
	batch := c.waiting[:n:n]
	c.waiting = c.waiting[n:]
	if n == 0 {
		c.busy, c.waiting = false, nil
	}
	return batch
}
