package cloudprovider

import (
	"maps"
	"sync/atomic"
	"time"
)

// How long an offering that ran out is left alone: the first time, and at the most. Most shortages
// are short; one that lasts is asked about ever more seldom, after twice as long each time. One whose
// machines the cloud takes back is left alone for longer at first: it has just shown that it needs them.
// Pods may wait for an offering that nothing else can stand in for: so the longest is not long.
const (
	FirstShortage   = time.Minute
	FirstTakenBack  = 3 * time.Minute
	LongestShortage = 8 * time.Minute
)

// Availability remembers which offerings ran out, for a while: longer for one that ran out again as
// soon as it was asked for again. Reads take no lock: the marks are one immutable map behind a
// pointer. The zero value knows of none.
type Availability struct {
	marks atomic.Pointer[map[Offering]mark]
}

// A mark is of an offering that ran out.
type mark struct {
	until time.Time
	lasts time.Duration
}

// over reports whether nothing is left to remember: it may be asked for, and has been for as long
// as it might not.
func (m mark) over(now time.Time) bool { return !now.Before(m.until.Add(m.lasts)) }

// Mark notes that the offerings ran out at now. What is said of one that is marked already is of the
// same shortage, by launches that were under way.
func (a *Availability) Mark(now time.Time, offerings ...Offering) {
	a.mark(now, FirstShortage, offerings)
}

// TakenBack notes that the cloud takes back machines of the offerings.
func (a *Availability) TakenBack(now time.Time, offerings ...Offering) {
	a.mark(now, FirstTakenBack, offerings)
}

func (a *Availability) mark(now time.Time, first time.Duration, offerings []Offering) {
	a.edit(now, func(marks map[Offering]mark) {
		for _, o := range offerings {
			m, known := marks[o]
			if known && !now.Before(m.until) {
				m.lasts = min(2*m.lasts, LongestShortage)
			}
			m.lasts = max(m.lasts, first)
			m.until = now.Add(m.lasts)
			marks[o] = m
		}
	})
}

// Had notes that an offering was bought: the next time that it runs out is the first.
func (a *Availability) Had(now time.Time, o Offering) {
	if marks := a.marks.Load(); marks == nil {
		return
	} else if _, known := (*marks)[o]; !known {
		return
	}
	a.edit(now, func(marks map[Offering]mark) {
		m, known := marks[o]
		switch {
		case !known:
		case now.Before(m.until): // others were refused it meanwhile
			m.lasts = FirstShortage
			marks[o] = m
		default:
			delete(marks, o)
		}
	})
}

// Unavailable reports whether o is marked at now.
func (a *Availability) Unavailable(now time.Time, o Offering) bool {
	m := a.marks.Load()
	return m != nil && now.Before((*m)[o].until)
}

// edit replaces the marks by changed ones, without those that are over.
func (a *Availability) edit(now time.Time, change func(map[Offering]mark)) {
	for {
		old := a.marks.Load()
		next := map[Offering]mark{}
		if old != nil {
			maps.Copy(next, *old)
			maps.DeleteFunc(next, func(_ Offering, m mark) bool { return m.over(now) })
		}
		change(next)
		if a.marks.CompareAndSwap(old, &next) {
			return
		}
	}
}
