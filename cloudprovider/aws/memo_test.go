package aws

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemoSharesOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m memo[string, int]
		calls := 0
		fetch := func(context.Context) (int, error) {
			calls++
			time.Sleep(time.Second)
			return 7, nil
		}
		for range 5 {
			go func() {
				if v, err := m.get(t.Context(), "a", fetch); v != 7 || err != nil {
					t.Errorf("get gave %d, %v", v, err)
				}
			}()
		}
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := m.get(ctx, "a", fetch); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller that gave up got %v", err)
		}
		time.Sleep(2 * time.Second)
		if calls != 1 {
			t.Errorf("%d calls, want 1", calls)
		}
		m.forget("a")
		if _, err := m.get(t.Context(), "a", fetch); err != nil || calls != 2 {
			t.Errorf("after forget: %d calls, %v; want 2", calls, err)
		}
		m.keep(func(string) bool { return false })
		if _, err := m.get(t.Context(), "a", fetch); err != nil || calls != 3 {
			t.Errorf("after keep: %d calls, %v; want 3", calls, err)
		}
	})
}

func TestMemoForgetsErrors(t *testing.T) {
	var m memo[string, int]
	if _, err := m.get(t.Context(), "a", func(context.Context) (int, error) { return 0, errors.New("no") }); err == nil {
		t.Fatal("no error")
	}
	if v, err := m.get(t.Context(), "a", func(context.Context) (int, error) { return 7, nil }); v != 7 || err != nil {
		t.Errorf("get gave %d, %v after an error", v, err)
	}
}

// TestMemoOutlivesItsCaller has the caller that fetches give up: another one
// fetches in its place, instead of failing for a reason that is not its own.
func TestMemoOutlivesItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m memo[string, int]
		fetch := func(ctx context.Context) (int, error) {
			select {
			case <-ctx.Done():
				return 0, ctx.Err()
			case <-time.After(time.Minute):
				return 7, nil
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = m.get(ctx, "a", fetch) }()
		synctest.Wait()
		done := make(chan int)
		go func() {
			v, err := m.get(t.Context(), "a", fetch)
			if err != nil {
				t.Error(err)
			}
			done <- v
		}()
		synctest.Wait()
		cancel()
		if v := <-done; v != 7 {
			t.Errorf("got %d", v)
		}
	})
}

func TestCoalescerBatchesWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var batches [][]string
		odd := errors.New("odd")
		c := &coalescer{max: 3, run: func(_ context.Context, keys []string) map[string]error {
			slices.Sort(keys)
			batches = append(batches, keys)
			time.Sleep(time.Second)
			return map[string]error{"b": odd}
		}}
		var wg sync.WaitGroup
		call := func(key string, want error) {
			wg.Go(func() {
				if err := c.do(t.Context(), key); !errors.Is(err, want) || (want == nil && err != nil) {
					t.Errorf("%s: %v, want %v", key, err, want)
				}
			})
			synctest.Wait() // so that the order of arrival is known
		}
		call("a", nil)
		call("b", odd)
		call("b", odd)
		call("c", nil)
		call("d", nil)
		wg.Wait()
		want := [][]string{{"a"}, {"b", "c"}, {"d"}}
		if !slices.EqualFunc(batches, want, slices.Equal) {
			t.Errorf("batches are %v, want %v", batches, want)
		}
		call("e", nil)
		wg.Wait()
		if len(batches) != 4 {
			t.Errorf("%d batches after a pause, want 4", len(batches))
		}
	})
}

func TestCoalescerLetsCallersGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &coalescer{max: 3, run: func(ctx context.Context, _ []string) map[string]error {
			<-ctx.Done() // a server that never answers
			return nil
		}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.do(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("do gave %v", err)
		}
		start := time.Now()
		if err := c.do(t.Context(), "b"); err != nil {
			t.Errorf("the next batch: %v", err)
		}
		if took := time.Since(start); took > 2*batchTimeout {
			t.Errorf("the next batch waited %v", took)
		}
	})
}

// TestMemoSharesTimeouts: a call that ran into a time limit of its own is not made again by each that waited for it.
func TestMemoSharesTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m memo[string, int]
		calls := 0
		slow := func(context.Context) (int, error) {
			calls++
			time.Sleep(time.Minute)
			return 0, context.DeadlineExceeded
		}
		var group sync.WaitGroup
		for range 5 {
			group.Go(func() {
				if _, err := m.get(context.Background(), "a", slow); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v", err)
				}
			})
		}
		group.Wait()
		if calls != 1 {
			t.Errorf("%d calls", calls)
		}
	})
}
