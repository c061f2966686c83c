package pricing

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"time"
)

// A Source fetches prices: all those of the capacity types that it speaks for.
// What its table lacks has no price.
type Source interface {
	// Fetch returns a new table, or an error and no table.
	Fetch(ctx context.Context) (*Table, error)
	// Name says in two words what is fetched: "on-demand prices".
	Name() string
}

// A Book holds the current prices. Reading takes no lock and may be done by
// many goroutines at once, also during Refresh.
type Book struct {
	current atomic.Pointer[Table]
	sources []Source
	// committed is when commitments were read last; nil if they never were.
	committed atomic.Pointer[time.Time]
}

// NewBook returns a book that starts with the prices of t and is refreshed from
// the sources, which speak for different capacity types. With no sources the
// prices stay as they are.
func NewBook(t *Table, sources ...Source) *Book {
	b := &Book{sources: sources}
	b.current.Store(t)
	return b
}

// Table returns the current prices, an immutable value. A decision takes one and
// asks nothing else: prices of two tables need not fit together.
func (b *Book) Table() *Table { return b.current.Load() }

// At is Table at a time: what is committed counts only until it ends, however long ago it was read. A
// table from which something has ended is another than before, and the same until more ends.
func (b *Book) At(now time.Time) *Table {
	for {
		t := b.current.Load()
		if !t.commitments.ended(now) {
			return t
		}
		if next := t.WithCommitments(t.commitments.at(now)); b.current.CompareAndSwap(t, next) {
			return next
		}
	}
}

// Refresh fetches from every source and swaps in what came, as of now. A source that
// fails, or has nothing, keeps its old prices and does not stop the others: its
// error is part of the one returned.
func (b *Book) Refresh(ctx context.Context, now time.Time) error {
	var failed []error
	for _, s := range b.sources {
		next, err := s.Fetch(ctx)
		if err == nil && next.Len() == 0 {
			err = errors.New("the answer holds no price")
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("refreshing %s: %w", s.Name(), err))
			continue
		}
		b.swap(next.heldAt(now))
	}
	return errors.Join(failed...)
}

// Commit replaces the commitments by those that were read at a time. Prices stay as they are, and so does
// the table if nothing is committed anew: another would be planned with anew.
func (b *Book) Commit(cs Commitments, now time.Time) {
	if !reflect.DeepEqual(cs, b.Table().Commitments()) {
		b.change(func(old *Table) *Table { return old.WithCommitments(cs) })
	}
	b.committed.Store(&now)
}

// Committed returns when commitments were read last; not ok if they never were.
func (b *Book) Committed() (at time.Time, ok bool) {
	if read := b.committed.Load(); read != nil {
		return *read, true
	}
	return at, false
}

// Interruptions replaces what is known of how often machines on spot are taken back.
func (b *Book) Interruptions(rates Interruptions) {
	b.change(func(old *Table) *Table { return old.WithInterruptions(rates) })
}

// swap replaces what next speaks for.
func (b *Book) swap(next *Table) {
	b.change(func(old *Table) *Table { return old.with(next) })
}

// change replaces the table by what is made of it. Two changes at once both get in.
func (b *Book) change(next func(*Table) *Table) {
	for {
		old := b.current.Load()
		if b.current.CompareAndSwap(old, next(old)) {
			return
		}
	}
}
