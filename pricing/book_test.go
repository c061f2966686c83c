package pricing

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// A sourceFunc is a source made by hand.
type sourceFunc func() (*Table, error)

func (f sourceFunc) Fetch(context.Context) (*Table, error) { return f() }
func (f sourceFunc) Name() string                          { return "test prices" }

func offering(name, zone, capacityType string) cloudprovider.Offering {
	return cloudprovider.Offering{InstanceType: name, Zone: zone, CapacityType: capacityType}
}

// tableOf gives n types the same price.
func tableOf(price MicroUSD, n int, zone, capacityType string) *Table {
	prices := map[cloudprovider.Offering]MicroUSD{}
	for i := range n {
		prices[offering(string(rune('a'+i))+"1.large", zone, capacityType)] = price
	}
	return NewTable("us-east-1", "test", prices)
}

func TestRefreshReplacesACapacityTypeWhole(t *testing.T) {
	start := tableOf(100, 3, "", "on-demand").with(tableOf(50, 3, "", "spot"))
	b := NewBook(start, sourceFunc(func() (*Table, error) { return tableOf(40, 2, "us-east-1a", "spot"), nil }))
	if err := b.Refresh(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		o    cloudprovider.Offering
		want MicroUSD
		ok   bool
	}{
		{offering("a1.large", "us-east-1a", "on-demand"), 100, true},
		{offering("a1.large", "us-east-1a", "spot"), 40, true},
		{offering("a1.large", "us-east-1b", "spot"), 0, false}, // no longer the region's old price
		{offering("c1.large", "us-east-1a", "spot"), 0, false}, // gone
	} {
		if got, ok := b.Table().Price(c.o); got != c.want || ok != c.ok {
			t.Errorf("%s costs %v (known: %v), want %v (%v)", c.o, got, ok, c.want, c.ok)
		}
	}
}

func TestFailedRefreshKeepsOldPrices(t *testing.T) {
	broken := errors.New("throttled")
	b := NewBook(tableOf(100, 3, "", "on-demand").with(tableOf(50, 3, "", "spot")),
		sourceFunc(func() (*Table, error) { return nil, broken }),
		sourceFunc(func() (*Table, error) { return tableOf(0, 0, "", "spot"), nil }), // an empty answer
		sourceFunc(func() (*Table, error) { return tableOf(60, 3, "", "spot"), nil }),
	)
	err := b.Refresh(t.Context(), noon)
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "refreshing test prices: throttled") ||
		!strings.Contains(err.Error(), "the answer holds no price") {
		t.Errorf("Refresh: %v, want both errors", err)
	}
	if at, known := b.Table().AsOf("on-demand"); known {
		t.Errorf("the on-demand prices are of %v, and were never fetched", at)
	}
	if at, _ := b.Table().AsOf("spot"); !at.Equal(noon) {
		t.Errorf("the spot prices are of %v, want %v", at, noon)
	}
	if err := b.Refresh(t.Context(), noon.Add(time.Hour)); err == nil {
		t.Error("no error")
	}
	if at, _ := b.Table().AsOf("spot"); !at.Equal(noon.Add(time.Hour)) {
		t.Errorf("the spot prices are of %v, an hour later", at)
	}
	if got, ok := b.Table().Price(offering("a1.large", "us-east-1a", "on-demand")); got != 100 || !ok {
		t.Errorf("after a failure the on-demand price is %v (known: %v), want the old 100", got, ok)
	}
	if got, _ := b.Table().Price(offering("a1.large", "us-east-1a", "spot")); got != 60 {
		t.Errorf("the source that works gave %v, want 60", got)
	}
}

// TestReadersNeverSeeHalfAnUpdate reads tables while prices change from one
// uniform table to the next: a reader that sees two prices saw half an update.
func TestReadersNeverSeeHalfAnUpdate(t *testing.T) {
	const types, rounds = 20, 200
	price := MicroUSD(1)
	b := NewBook(tableOf(price, types, "", "spot"), sourceFunc(func() (*Table, error) {
		price++
		return tableOf(price, types, "", "spot"), nil
	}))
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			last := MicroUSD(0)
			for {
				seen := map[MicroUSD]int{}
				for _, p := range b.Table().All() {
					seen[p]++
				}
				if len(seen) != 1 {
					t.Errorf("one table holds prices %v", seen)
					return
				}
				for p := range seen {
					if p < last {
						t.Errorf("the price went back from %v to %v", last, p)
					}
					last = p
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for range rounds {
		if err := b.Refresh(t.Context(), noon); err != nil {
			t.Error(err)
		}
	}
	close(done)
	readers.Wait()
	if got, _ := b.Table().Price(offering("a1.large", "", "spot")); got != rounds+1 {
		t.Errorf("the last price is %v, want %d", got, rounds+1)
	}
}

// TestRefreshesAtOnce refreshes two capacity types from two goroutines: neither
// may undo the other.
func TestRefreshesAtOnce(t *testing.T) {
	b := NewBook(tableOf(1, 3, "", "on-demand").with(tableOf(1, 3, "", "spot")))
	var writers sync.WaitGroup
	for _, capacityType := range []string{"on-demand", "spot"} {
		writers.Go(func() {
			for p := range MicroUSD(200) {
				b.swap(tableOf(p+1, 3, "", capacityType))
			}
		})
	}
	writers.Wait()
	for o, p := range b.Table().All() {
		if p != 200 {
			t.Errorf("%s costs %v at the end, want 200", o, p)
		}
	}
}

func TestTableIsACopy(t *testing.T) {
	prices := map[cloudprovider.Offering]MicroUSD{offering("m5.large", "", "spot"): 5}
	table := NewTable("us-east-1", "test", prices)
	prices[offering("m5.large", "", "spot")] = 7
	if got, _ := table.Price(offering("m5.large", "us-east-1a", "spot")); got != 5 {
		t.Errorf("the table changed with the map it was made from: %v", got)
	}
}
