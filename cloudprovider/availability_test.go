package cloudprovider

import (
	"sync"
	"testing"
	"time"
)

var monday = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// TestShortagesGrow: what runs out each time that it is asked for is asked for ever more seldom.
func TestShortagesGrow(t *testing.T) {
	var a Availability
	o := Offering{InstanceType: "m5.large", Zone: "a", CapacityType: Spot}
	now := monday
	var waits []time.Duration
	for range 8 {
		a.Mark(now, o)
		began := now
		for a.Unavailable(now, o) {
			now = now.Add(time.Second)
		}
		waits = append(waits, now.Sub(began))
	}
	for i, want := range []time.Duration{1, 2, 4, 8, 8, 8, 8, 8} {
		if waits[i] != want*time.Minute {
			t.Errorf("shortage %d lasts %v, want %v minutes", i, waits[i], int(want))
		}
	}
	if a.Unavailable(now, Offering{InstanceType: "m5.large", Zone: "b", CapacityType: Spot}) {
		t.Error("another zone is short as well")
	}
}

// TestOneShortage is one, however many launches are refused, and it is forgotten in time.
func TestOneShortage(t *testing.T) {
	o := Offering{InstanceType: "m5.large"}
	lasts := func(a *Availability, now time.Time) (d time.Duration) {
		for a.Unavailable(now.Add(d), o) {
			d += time.Second
		}
		return d
	}
	var many Availability
	for i := range 10 {
		many.Mark(monday.Add(time.Duration(i)*time.Second), o)
	}
	if d := lasts(&many, monday); d != FirstShortage+9*time.Second {
		t.Errorf("ten launches that were refused at once make a shortage of %v", d)
	}

	var quiet Availability
	quiet.Mark(monday, o)
	later := monday.Add(2 * FirstShortage) // it could be asked for for as long as it could not
	quiet.Mark(later, o)
	if d := lasts(&quiet, later); d != FirstShortage {
		t.Errorf("a shortage after a quiet time lasts %v", d)
	}

	var had Availability
	had.Mark(monday, o)
	soon := monday.Add(FirstShortage)
	had.Had(soon, o)
	had.Mark(soon, o)
	if d := lasts(&had, soon); d != FirstShortage {
		t.Errorf("a shortage after one was bought lasts %v", d)
	}
	had.TakenBack(soon, o)
	if d := lasts(&had, soon); d != FirstTakenBack {
		t.Errorf("what is taken back is left alone for %v", d)
	}
	had.Had(soon, o)
	if !had.Unavailable(soon, o) {
		t.Error("a launch that was luckier ends the shortage")
	}
}

// TestShortagesByMany goroutines are all noted.
func TestShortagesByMany(t *testing.T) {
	var a Availability
	var group sync.WaitGroup
	for _, zone := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		group.Go(func() { a.Mark(monday, Offering{Zone: zone}) })
	}
	group.Wait()
	if n := len(*a.marks.Load()); n != 8 {
		t.Errorf("%d of 8 shortages are known", n)
	}
}
