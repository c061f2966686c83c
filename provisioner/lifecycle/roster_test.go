package lifecycle

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// slowCloud answers List when it is told to.
type slowCloud struct {
	cloudprovider.Provider
	answer chan error
	asked  atomic.Int32
}

func (c *slowCloud) List(context.Context) ([]cloudprovider.Instance, error) {
	c.asked.Add(1)
	err := <-c.answer
	return []cloudprovider.Instance{
		{ID: "i-1", ProviderID: "x:///a/i-1", State: cloudprovider.Running, Tags: map[string]string{TagClaimUID: "uid-1"}},
		{ID: "i-2", ProviderID: "x:///a/i-2", State: cloudprovider.Terminated, Tags: map[string]string{TagClaimUID: "uid-2"}},
	}, err
}

func TestRosterSharesOneList(t *testing.T) {
	cloud := &slowCloud{answer: make(chan error)}
	r := &Roster{Cloud: cloud}
	const askers = 20
	var all sync.WaitGroup
	for range askers {
		all.Go(func() {
			l, err := r.list(t.Context(), noon, time.Second)
			if err != nil {
				t.Error(err)
				return
			}
			if _, ok := l.find("x:///a/i-1"); !ok {
				t.Error("a running instance is missing")
			}
			if _, ok := l.find("x:///a/i-2"); ok {
				t.Error("a terminated instance counts")
			}
			if i, ok := l.launchedFor("uid-1"); !ok || i.ID != "i-1" {
				t.Errorf("launched for uid-1: %v", i)
			}
		})
	}
	cloud.answer <- nil
	all.Wait()
	if n := cloud.asked.Load(); n != 1 {
		t.Errorf("%d askers listed %d times", askers, n)
	}
	if _, err := r.list(t.Context(), noon.Add(time.Second), time.Second); err != nil || cloud.asked.Load() != 1 {
		t.Errorf("an answer that is young enough was asked for again: %v", err)
	}
	go func() { cloud.answer <- errors.New("no") }()
	if _, err := r.list(t.Context(), noon.Add(3*time.Second), time.Second); err == nil {
		t.Error("an error was not passed on")
	}
	if l, err := r.list(t.Context(), noon.Add(time.Second), time.Second); err != nil || len(l.instances) != 2 {
		t.Errorf("an error replaced the last answer: %v", err)
	}
	go func() { cloud.answer <- nil }()
	if l, err := r.list(t.Context(), noon.Add(5*time.Second), time.Second); err != nil || !l.at.Equal(noon.Add(5*time.Second)) {
		t.Errorf("no new answer after an error: %v", err)
	}
}

// patientCloud answers each List by itself, in the order the test wants.
type patientCloud struct {
	cloudprovider.Provider
	mu    sync.Mutex
	lists []chan string // the ID of the one instance that each is to answer with
}

func (c *patientCloud) List(context.Context) ([]cloudprovider.Instance, error) {
	answer := make(chan string)
	c.mu.Lock()
	c.lists = append(c.lists, answer)
	c.mu.Unlock()
	return []cloudprovider.Instance{{ID: <-answer}}, nil
}

// TestRosterSharesWhatIsYoungEnough: a List under way answers those for whom it
// began late enough, and no others; the youngest answer is the one that is kept,
// whichever comes last.
func TestRosterSharesWhatIsYoungEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud := &patientCloud{}
		r := &Roster{Cloud: cloud}
		ask := func(at, maxAge time.Duration) chan string {
			answer := make(chan string, 1)
			go func() {
				l, err := r.list(t.Context(), noon.Add(at), maxAge)
				if err != nil {
					t.Error(err)
					l = &listing{instances: make([]cloudprovider.Instance, 1)}
				}
				answer <- l.instances[0].ID
			}()
			synctest.Wait()
			return answer
		}
		first := ask(0, 0)
		alike := ask(2*time.Second, 2*time.Second)
		later := ask(2*time.Second, time.Second)
		joins := ask(2500*time.Millisecond, time.Second)
		if len(cloud.lists) != 2 {
			for _, answer := range cloud.lists { // let everybody go
				close(answer)
			}
			synctest.Wait()
			t.Fatalf("listed %d times, want 2", len(cloud.lists))
		}
		cloud.lists[1] <- "new"
		if a, b := <-later, <-joins; a != "new" || b != "new" {
			t.Errorf("answers are %q and %q, want the new one", a, b)
		}
		cloud.lists[0] <- "old"
		if a, b := <-first, <-alike; a != "old" || b != "old" {
			t.Errorf("answers are %q and %q, want the old one", a, b)
		}
		if got := <-ask(3*time.Second, time.Second); got != "new" || len(cloud.lists) != 2 {
			t.Errorf("kept %q after %d Lists, want the new one after 2", got, len(cloud.lists))
		}
	})
}

func TestInstanceID(t *testing.T) {
	for in, want := range map[string]string{"aws:///us-east-1a/i-0123": "i-0123", "": "", "i-1": "i-1"} {
		if got := InstanceID(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
