package aws

import (
	"context"
	"sync"
)

// A memo remembers what a slow function said, by key. Callers who ask for one
// key at once share one call; nobody holds the lock while it runs. Errors are
// not remembered. The zero value is empty.
type memo[K comparable, V any] struct {
	mu      sync.Mutex
	entries map[K]*entry[V]
}

type entry[V any] struct {
	done  chan struct{} // closed once value and err are there
	value V
	err   error
	ended bool // with it the ctx of who fetched
}

// get returns the value of key, from fetch if nobody has fetched it yet. A
// caller whose ctx ends stops waiting. If the fetch fails because the ctx of the
// caller that ran it ended, another caller runs it again.
func (m *memo[K, V]) get(ctx context.Context, key K, fetch func(context.Context) (V, error)) (V, error) {
	for {
		e, mine := m.claim(key)
		if mine {
			e.value, e.err = fetch(ctx)
			e.ended = ctx.Err() != nil
			if e.err != nil {
				m.drop(key, e)
			}
			close(e.done)
			return e.value, e.err
		}
		select {
		case <-ctx.Done():
			var zero V
			return zero, ctx.Err()
		case <-e.done:
		}
		if e.err != nil && e.ended {
			continue
		}
		return e.value, e.err
	}
}

// claim returns the entry of key, and whether the caller is the one to fill it.
func (m *memo[K, V]) claim(key K) (e *entry[V], mine bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.entries[key]; ok {
		return e, false
	}
	if m.entries == nil {
		m.entries = map[K]*entry[V]{}
	}
	e = &entry[V]{done: make(chan struct{})}
	m.entries[key] = e
	return e, true
}

// drop forgets e, unless another has taken its place.
func (m *memo[K, V]) drop(key K, e *entry[V]) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.entries[key] == e {
		delete(m.entries, key)
	}
}

// forget makes the next get of key fetch again.
func (m *memo[K, V]) forget(key K) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.entries, key)
}

// keep forgets every key for which wanted is false. It must not call m.
func (m *memo[K, V]) keep(wanted func(K) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.entries {
		if !wanted(key) {
			delete(m.entries, key)
		}
	}
}
